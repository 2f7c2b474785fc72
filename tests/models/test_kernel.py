"""Compiled code is kept apart for each state of the sources."""

import numba
import pytest

from models.kernel import kernel, use_cache


@pytest.fixture(autouse=True)
def cache_of_the_tests(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", numba.config.CACHE_DIR)


def test_a_changed_source_gets_a_folder_of_its_own_and_the_old_one_goes(tmp_path):
    sources, base = tmp_path / "sources", tmp_path / "base"
    sources.mkdir()
    (sources / "one.py").write_text("a = 1\n")
    before = use_cache(sources, base)
    assert before is not None
    assert use_cache(sources, base) == before
    (sources / "one.py").write_text("a = 2\n")
    after = use_cache(sources, base)
    assert after is not None
    assert after != before
    assert [folder.name for folder in base.iterdir()] == [after.name]
    assert str(after) == numba.config.CACHE_DIR


def test_where_nothing_can_be_written_kernels_still_run(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert use_cache(tmp_path, blocked) is None


@kernel
def halved(value: float) -> float:
    return value / 2


def test_a_kernel_computes_what_its_python_says():
    assert halved(3.0) == halved.py_func(3.0) == 1.5
