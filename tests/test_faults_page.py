"""docs/faults.md says what the code says, and places every report that the project starts from."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from e2e.fault_engine.faults import CATALOGUE, FAULTS
from llm_watchdog.api.reasons import REASONS, FaultClass, FindingReason, UnknownReason
from tests.reference_faults import PAGE, TABLE, TABLES, filled, said_of

if TYPE_CHECKING:
    from e2e.fault_engine.faults.entry import FaultEntry

TEXT = PAGE.read_text()
REPORTS = 69
FALSE_ALARMS = 20
SEES = {"canary", "metrics", "check"}
CANNOT = {"user ledger", "nothing"}
UNPLAYED = tomllib.loads(CATALOGUE.with_name("unseen.toml").read_text())


def cells(pattern: str) -> list[list[str]]:
    """The rows whose first cell is of that form."""
    lines = [line.strip("|").split(" | ") for line in TEXT.splitlines() if re.match(rf"\| {pattern} \|", line)]
    return [[cell.strip() for cell in line] for line in lines]


PLACED = cells(r"\d+")


def test_tables_are_made_from_the_code() -> None:
    """Else: `python -m tests.reference_faults`."""
    assert filled(TEXT) == TEXT


def test_every_table_stands_on_the_page_once() -> None:
    assert sorted(found["name"] for found in TABLE.finditer(TEXT)) == sorted(TABLES)


def test_every_class_has_its_section_in_the_order_of_the_ladders() -> None:
    headings = re.findall(r"^## (\w+)$", TEXT, re.MULTILINE)
    assert [each for each in headings if each in set(FaultClass)] == list(FaultClass)


@pytest.mark.parametrize("vocabulary", [FaultClass, FindingReason, UnknownReason])
def test_every_member_has_a_sentence(vocabulary: type[FaultClass | FindingReason | UnknownReason]) -> None:
    sentences = said_of(vocabulary)
    assert sentences.keys() == {member.value for member in vocabulary}
    assert all(sentence.endswith(".") for sentence in sentences.values())


def test_every_report_is_placed_once() -> None:
    assert [row[0] for row in PLACED] == [str(number) for number in range(1, REPORTS + 1)]
    assert [row[0] for row in cells(r"F\d+")] == [f"F{number}" for number in range(1, FALSE_ALARMS + 1)]


@pytest.mark.parametrize("row", PLACED, ids=[row[0] for row in PLACED])
def test_what_is_seen_has_a_reason_and_what_is_not_an_explanation(row: list[str]) -> None:
    _, source, _, seen_by, seen_as = row
    assert re.search(r"\w#\d+", source)
    reasons = set(re.findall(r"`(\w+)`", seen_as)) - {"knownAnswers"}
    if seen_by in CANNOT:
        assert not reasons
        assert len(seen_as) > len("no reason")
    else:
        assert set(seen_by.split(", ")) <= SEES
        assert reasons
    assert reasons <= {reason.value for reason in FindingReason}


@pytest.mark.parametrize("fault", FaultClass)
def test_no_class_is_without_a_report(fault: FaultClass) -> None:
    """A detector that no real report asks for would be one too many."""
    named = {name for row in PLACED for name in re.findall(r"`(\w+)`", row[-1])}
    assert named & {reason.value for reason in REASONS[fault]}


CLASS_OF = {reason.value: fault.value for fault, reasons in REASONS.items() for reason in reasons}


def playing(row: str) -> list[FaultEntry]:
    """The faults of the fault engine that stand for it, and that the watchdog has to find."""
    return [entry for entry in FAULTS.values() if f"A{row}" in entry.rows and entry.seen_by != "nothing"]


@pytest.mark.parametrize("row", PLACED, ids=[row[0] for row in PLACED])
def test_what_is_seen_is_played_under_its_class_and_what_is_not_is_not(row: list[str]) -> None:
    number, _, _, seen_by, seen_as = row
    if seen_by in CANNOT:
        assert [entry.name for entry in playing(number)] == []
        return
    told = {CLASS_OF[reason] for reason in re.findall(r"`(\w+)`", seen_as) if reason in CLASS_OF}
    played = {fault for entry in playing(number) for fault in (entry.expected, *entry.also)}
    assert bool(played & told) is not bool(UNPLAYED.get(f"A{number}")), (played, told)
