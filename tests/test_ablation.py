"""What the table of ingredients takes out is still there to be taken out."""

import shutil
from textwrap import dedent

import pytest

from benchmarks.ablation import ROOT, VARIANTS, take_out


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.without)
def test_every_variant_replaces_what_its_module_has(variant, tmp_path):
    for module, lines in variant.lines.items():
        copy = shutil.copy(ROOT / "models" / f"{module}.py", tmp_path)
        take_out(tmp_path / f"{module}.py", dedent(lines))
        compile((tmp_path / f"{module}.py").read_text(encoding="utf-8"), copy, "exec")
