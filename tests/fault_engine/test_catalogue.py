"""The catalogue as data: complete, readable, and told to other programs."""

import json
import subprocess
import sys
import tomllib

import pytest

from e2e.fault_engine.dialects import DIALECTS
from e2e.fault_engine.faults import FAULTS, UnknownFaultError, make_fault
from e2e.fault_engine.faults.active import ActiveFaults, Order
from e2e.fault_engine.faults.effects import EFFECTS
from e2e.fault_engine.faults.entry import DIALECTS as NAMED
from e2e.fault_engine.faults.entry import CatalogueError, read_entry
from e2e.fault_engine.listing import table
from e2e.fault_engine.request import Request
from llm_watchdog.api.reasons import FaultClass
from tests.fault_engine.process import CHECKOUT

FOLDER = CHECKOUT / "e2e" / "fault_engine"
UNSEEN = tomllib.loads((FOLDER / "faults" / "unseen.toml").read_text())
ROWS = {*(f"A{row}" for row in range(1, 70)), *(f"F{row}" for row in range(1, 21))}


def test_every_row_is_a_fault_or_has_a_reason_why_not() -> None:
    covered = {row for entry in FAULTS.values() for row in entry.rows}
    assert covered | UNSEEN.keys() == ROWS
    assert not covered & UNSEEN.keys()


def test_part_a_has_classes_of_the_watchdog_and_part_b_has_none() -> None:
    classes = {kind.value for kind in FaultClass}
    for entry in FAULTS.values():
        assert {*([entry.expected] if entry.expected else []), *entry.also} <= classes, entry.name
        assert all(row.startswith("A" if entry.part == "A" else "F") for row in entry.rows), entry.name
    assert {entry.expected for entry in FAULTS.values()} == classes | {None}


def test_the_named_dialects_are_those_there_are() -> None:
    assert set(NAMED) == set(DIALECTS)
    assert {dialect for entry in FAULTS.values() for dialect in entry.dialects} == set(DIALECTS)


def test_every_effect_is_used() -> None:
    assert {name for entry in FAULTS.values() for name, _ in entry.effects} == set(EFFECTS)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_can_be_made_and_says_where_it_was_seen(name: str) -> None:
    entry = FAULTS[name]
    assert entry.does
    assert entry.sources
    argument = None
    if entry.argument and entry.argument.default is None:
        argument = "3"
        with pytest.raises(UnknownFaultError, match="needs a number"):
            make_fault(name, None)
    assert len(make_fault(name, argument)) == len(entry.effects)
    assert entry.effects or entry.needs
    entry.beginning(argument)
    entry.hitting(argument)
    with pytest.raises(UnknownFaultError, match=name):
        make_fault(name, "neither a number nor nothing")
    with pytest.raises(UnknownFaultError, match=name):
        make_fault(name, "-1")


def test_it_is_listed_for_other_programs() -> None:
    command = [sys.executable, "-m", "e2e.fault_engine", "--list-faults"]
    listed = json.loads(subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True).stdout)
    assert [entry["name"] for entry in listed] == list(FAULTS)
    assert {"name", "part", "rows", "sources", "expected", "seenBy", "dialects", "argument"} <= listed[0].keys()


GOOD = {"does": "x", "rows": [], "sources": ["s"], "seen-by": "canary", "effects": [{"effect": "hang"}]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"effects": [{"effect": "no-such"}]},
        {"seen-by": "luck"},
        {"dialects": ["cobol"]},
        {"surprise": 1},
        {"hits": {"often": 1}},
        {"begins": {"at-noon": True}},
    ],
)
def test_a_wrong_entry_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(CatalogueError):
        read_entry("x", GOOD | {"effects": []} | wrong)


def test_an_entry_without_its_fields_is_refused() -> None:
    with pytest.raises(CatalogueError, match="does"):
        read_entry("x", {"rows": []})


def active(name: str, argument: str | None = None, incidence: float | None = None) -> ActiveFaults:
    faults = ActiveFaults()
    faults.replace([Order(name, argument, 1, incidence)], now=0.0)
    return faults


def request(name: str = "r", **fields: object) -> Request:
    return Request(name, [1, 2, 3], seed=1, max_tokens=10, **fields)  # type: ignore[arg-type]


def test_incidence_hits_that_share_and_the_same_ones_each_time() -> None:
    faults, again = active("lost-requests", incidence=0.25), active("lost-requests", incidence=0.25)
    hit = [not faults.emit(request(str(place)), "") for place in range(2000)]
    assert hit == [not again.emit(request(str(place)), "") for place in range(2000)]
    assert 0.2 < sum(hit) / len(hit) < 0.3


def test_one_in_n_is_the_argument() -> None:
    faults = active("lost-requests", "10")
    hit = [not faults.emit(request(str(place)), "") for place in range(2000)]
    assert 0.07 < sum(hit) / len(hit) < 0.13


def test_a_fault_after_requests_spares_so_many() -> None:
    faults = active("hang-after-requests", "2")
    found = []
    for _ in range(3):
        faults.notice_request(5, now=1.0)
        found.append(faults.freeze_core())
    assert found == [False, False, True]


def test_a_fault_after_idleness_waits_for_the_request_that_ends_it() -> None:
    faults = active("hang-after-idle", "60")
    faults.notice_request(5, now=100.0)
    faults.notice_end(now=110.0)
    faults.notice_request(5, now=169.0)
    assert not faults.freeze_core()
    faults.notice_end(now=170.0)
    faults.tick(now=300.0)
    assert not faults.freeze_core()
    faults.notice_request(5, now=301.0)
    assert faults.freeze_core()


def test_a_fault_after_a_wake() -> None:
    faults = active("repeat-after-wake")
    assert not faults.end(request(), ended=False)
    assert faults.end(request(), ended=True)
    faults.notice_wake(now=1.0)
    assert not faults.end(request(), ended=True)


def test_a_fault_after_a_long_prompt() -> None:
    faults = active("repeat-after-long-prompt", "1000")
    faults.notice_request(999, now=1.0)
    assert faults.end(request(), ended=True)
    faults.notice_request(1000, now=2.0)
    assert not faults.end(request(), ended=True)


def test_a_poisoned_block_is_one_that_was_computed_before() -> None:
    faults = ActiveFaults()
    faults.notice_request(5, now=0.0)
    faults.replace([Order("poisoned-cache", None, 1)], now=1.0)
    assert faults.end(request(cached=0, origin=1), ended=True)
    assert faults.end(request(cached=32, origin=2), ended=True)
    assert not faults.end(request(cached=32, origin=1), ended=True)


def test_the_first_so_many_are_hit_and_no_others() -> None:
    faults = active("blocked-thread", "2")
    said = [faults.emit(request(name, generated=1), "") for name in ("a", "b", "c", "a", "d")]
    assert said == [False, False, True, False, True]


def test_the_readme_holds_the_table_of_all_faults() -> None:
    assert (FOLDER / "README.md").read_text().endswith("\n" + table())
