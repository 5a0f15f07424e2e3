"""The table of a run: every case once, whoever ran it, and what did not happen is not called never."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from e2e.lab.comparison import COLUMNS, Side, markdown, row
from e2e.lab.timeline import Timeline

if TYPE_CHECKING:
    from pathlib import Path

OURS = Side(
    times=Timeline(out_of_rotation=6.04, restarted=24.0, recovered=31.27),
    watched=40,
    reports=[{"outcome": "ok"}, {"outcome": "timeout"}, {"outcome": "ok"}],
)
PLAIN = Side(times=Timeline(), watched=121.6)


def test_a_row_has_a_cell_for_each_column() -> None:
    cells = row("hang", OURS, PLAIN)
    assert cells[:5] == ["hang", "6.0 s", "24.0 s", "31.3 s", "1 of 3"]
    assert cells[5:] == ["not in 122 s", "not in 122 s", "not in 122 s", ""]
    assert len(cells) == len(COLUMNS)
    head, rule, first, second = markdown([["b", *cells[1:]], ["a", *cells[1:]]])
    assert head.count("|") == rule.count("|") == first.count("|") == len(COLUMNS) + 1
    assert (first[:4], second[:4]) == ("| a ", "| b ")


TESTS = """
import pytest
from e2e.lab.comparison import PROPERTY, Side, row
from e2e.lab.timeline import Timeline

@pytest.mark.parametrize("case", ["idle", "busy"])
def test_case(case, record_property):
    side = Side(times=Timeline(out_of_rotation=5.0), watched=9)
    record_property(PROPERTY, row(case, side, side))
    assert case == "idle"
"""


@pytest.mark.thorough
def test_the_summary_shows_the_rows_of_passed_and_failed_tests_of_all_processes(tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text(TESTS)
    plugin = ("-p", "e2e.lab.comparison", "-p", "no:cacheprovider", "-n", "2")
    command = (sys.executable, "-m", "pytest", *plugin, tmp_path)
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    cells = "5.0 s | not in 9 s | not in 9 s |  | 5.0 s | not in 9 s | not in 9 s |  |"
    assert re.findall(r"^\| (?:busy|idle) .*$", printed, re.MULTILINE) == [f"| busy | {cells}", f"| idle | {cells}"]
