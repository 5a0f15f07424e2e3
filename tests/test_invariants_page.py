"""docs/invariants.md names tests that are there, at least one for each invariant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [line for line in (ROOT / "docs" / "invariants.md").read_text().splitlines() if re.match(r"\| \d", line)]
NAMED = [found.groups() for row in ROWS for found in re.finditer(r"`([\w/]+\.py)::(\w+)`", row)]


def test_all_thirteen_are_there() -> None:
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, 14))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_each_is_tried(row: str) -> None:
    assert "::" in row


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_the_test_exists(file: str, name: str) -> None:
    assert re.search(rf"def {name}\b", (ROOT / file).read_text()), f"{file} has no {name}"
