"""docs/invariants.md names tests that a reader can run, at least one for each invariant."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [line for line in (ROOT / "docs" / "invariants.md").read_text().splitlines() if re.match(r"\| \d", line)]
NAMED = [found for row in ROWS for found in re.findall(r"`([^`]*::[^`]*)`", row)]


def test_all_thirteen_are_there() -> None:
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, 14))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_each_is_tried(row: str) -> None:
    assert "::" in row


@pytest.mark.parametrize("named", NAMED)
def test_it_names_a_test_and_no_helper(named: str) -> None:
    assert re.fullmatch(r"(tests|e2e)/[\w/]+/test_\w+\.py::(test_|Test)\w+", named)


@pytest.mark.thorough
def test_each_can_be_run_under_its_name() -> None:
    """One collection for all, as each is a start of Python and of what the tests import."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *sorted(set(NAMED))]
    collected = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert collected.returncode == 0, collected.stdout + collected.stderr
    found = {re.sub(r"\[.*", "", line) for line in collected.stdout.splitlines() if "::" in line}
    assert {name for name in NAMED if not found & {name, f"{name}::runTest"}} == set()
