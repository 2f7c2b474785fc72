"""Tables of the command line, on terminals of several widths and piped."""

import re

import pytest

from service.cli.output import print_table

RUN = ["12", "sales-of-the-north", "succeeded", "2026-10-15 04:30Z", "1234.5"]
REASON = (
    "kept version 11: the challenger (another declaration, another engine) was not better "
    "(WQL 0.312 against 0.287 over 12 origins); the declaration of the funnel changed: country, due_stage"
)


def plain(text):
    """Without the codes that make it bold."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.mark.parametrize("width", [80, 120, None])
def test_a_long_last_cell_folds_and_costs_no_other_column_anything(capsys, monkeypatch, width):
    if width is not None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(width))
    print_table("Runs", ["run", "funnel", "status", "started", "seconds", "reason"], [[*RUN, REASON], [*RUN, ""]])
    _, head, *lines = (line.rstrip() for line in plain(capsys.readouterr().out).splitlines())
    assert head.split() == ["run", "funnel", "status", "started", "seconds", "reason"]
    assert all(cell in lines[0] and cell in lines[-1] for cell in RUN)
    assert max(map(len, lines)) <= (width or 160)
    begins = head.index("reason")
    assert " ".join(line[begins:].strip() for line in lines).strip() == REASON


def test_a_terminal_too_narrow_for_the_other_columns_still_shows_all_of_them(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_table("Runs", ["run", "funnel", "status", "started", "seconds", "reason"], [[*RUN, REASON]])
    told = plain(capsys.readouterr().out)
    assert all(cell in told for cell in RUN)
