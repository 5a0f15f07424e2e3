"""The end of each worker is checked, and a report reads as it was written and hides nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.remediation.ending import unlike, wrong_ends
from benchmarks.remediation.judging import Breach, Judged, Waited
from benchmarks.remediation.plan import WorkerPlan
from benchmarks.remediation.report import markdown, write
from benchmarks.remediation.results import NVSENTINEL_P90, Cost, Machine, Results, Scenario, as_json, from_json
from benchmarks.remediation.watched import Seen

if TYPE_CHECKING:
    from pathlib import Path

KEY = ("n", "w")
HELD = {KEY: "CommonCause"}


def plan(count: int, *, is_cured: bool = True) -> WorkerPlan:
    return WorkerPlan(namespace="n", name="w", replicas=5, is_wide=False, faulty=tuple(range(count)), is_cured=is_cured)


def ended(count: int) -> list[Seen]:
    """With an earlier version of each, which does not count."""
    return [
        Seen(at=at, worker=KEY, incident=str(number), pod=str(number), phase=phase)
        for at, phase in ((0.0, "Open"), (1.0, "Closed"))
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("of", "closed", "conditions"),
    [
        (plan(0), 0, {}),
        (plan(2), 2, {}),
        (plan(5), 4, {KEY: "HourlyLimit"}),
        (plan(2, is_cured=False), 2, {}),
        (plan(3, is_cured=False), 1, HELD),
        (plan(4, is_cured=False), 2, HELD),
    ],
)
def test_a_right_end(of: WorkerPlan, closed: int, conditions: dict[tuple[str, str], str]) -> None:
    assert wrong_ends([of], ended(closed), conditions) == []


@pytest.mark.parametrize(
    ("of", "closed", "conditions", "told"),
    [
        (plan(2), 1, {}, "1 incidents ended, not 2"),
        (plan(5), 5, {KEY: "HourlyLimit"}, "5 incidents ended, not 4"),
        (plan(5), 4, {}, "RemediationHeld is absent, not HourlyLimit"),
        (plan(3, is_cured=False), 0, HELD, "no trial ended"),
        (plan(3, is_cured=False), 1, {}, "RemediationHeld is absent, not CommonCause"),
        (plan(3, is_cured=False), 1, {KEY: "HourlyLimit"}, "RemediationHeld is HourlyLimit, not CommonCause"),
        (plan(3), 3, HELD, "RemediationHeld is CommonCause"),
    ],
)
def test_a_wrong_end(of: WorkerPlan, closed: int, conditions: dict[tuple[str, str], str], told: str) -> None:
    assert wrong_ends([of], ended(closed), conditions) == [f"w: {told}"]


def test_a_grant_that_the_watch_did_not_show_is_a_problem() -> None:
    assert unlike(3, 3) == []
    assert unlike(3, 2) == ["the operator counts 3 grants, the watch showed 2"]


def scenario(share: float = 0.25, /, **judged: Any) -> Scenario:
    waited = [
        Waited(incident="a", wait=0.5, turn=0, reported=2, is_first=True),
        Waited(incident="b", wait=0.25, turn=8, reported=10, is_first=False),
    ]
    return Scenario(
        share=share,
        workers=2,
        replicas=10,
        judged=Judged(waited=waited, requests=2, asked_at=[0, 1], granted_at=[0.5, 9.25], **judged),
        cost=Cost(
            start_seconds=1,
            cpu_at_start=2,
            cpu_seconds=3,
            starved_seconds=4,
            over_seconds=20,
            rss_at_rest_mib=80,
            peak_mib=90,
            writes=18,
            failed_passes=0,
            unexpected_errors=0,
        ),
        machine=Machine(cores=2, nice=0, load_before=1, load_after=2, client_p50=0.01, client_p99=None),
    )


def results(*scenarios: Scenario) -> Results:
    return Results(drawn=7, restart_seconds=5, proof_seconds=2, scenarios=list(scenarios))


BREACH = Breach(worker=KEY, incident="i", why="why not")


def test_spreads_are_of_those_they_name() -> None:
    one = scenario()
    assert (one.at_once.p50, one.in_turn.p50, one.waits.longest, one.waits.count) == (0.5, 0.25, 0.5, 2)
    assert (one.reported.longest, one.with_turn.longest, one.writes_per_grant) == (2, 8.25, 9)


def test_a_report_reads_as_it_was_written() -> None:
    written = results(scenario(budget=[BREACH]), replace(scenario(0.5), problems=("a problem",)))
    assert from_json(json.loads(json.dumps(as_json(written)))) == written


def test_what_was_published_stands_beside_the_same_share() -> None:
    told = markdown(results(*(scenario(share) for share in NVSENTINEL_P90)))
    rows = [line for line in told.splitlines() if line.startswith(("| 10% | 2 ", "| 25% | 2 ", "| 50% | 2 "))]
    assert [row.split(" | ")[-1].removesuffix(" |") for row in rows[:3]] == ["28.15", "163", "419"]


@pytest.mark.parametrize("rule", ["budget", "brake"])
def test_a_breach_is_told_and_the_scenario_is_not_sound(rule: str) -> None:
    broken = scenario(**{rule: [BREACH] * 25})
    assert not broken.is_sound
    told = markdown(results(broken)).partition("## What went wrong")[2]
    assert f"25%, {rule}: w, i: why not" in told
    assert f"{rule}: 5 more" in told


def test_a_problem_is_told_and_without_one_nothing() -> None:
    assert "25%, it ended early" in markdown(results(replace(scenario(), problems=("it ended early",))))
    assert "went wrong" not in markdown(results(scenario()))
    assert scenario().is_sound


def test_nothing_granted_is_no_error() -> None:
    none = replace(scenario(), judged=Judged())
    assert none.writes_per_grant is None
    assert "- / - / - / -" in markdown(results(none))


def test_all_three_forms_are_written(tmp_path: Path) -> None:
    write(results(scenario()), tmp_path / "new")
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert {"remediation.json", "remediation.md"} <= names
    told = (tmp_path / "new" / "remediation.md").read_text()
    assert ("remediation.png" in names) == ("(remediation.png)" in told)
