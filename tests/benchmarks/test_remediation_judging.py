"""Waits, budget and brake from a record of a watch; each rule is broken once."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.remediation.judging import Judged, judge
from benchmarks.remediation.plan import WorkerPlan
from benchmarks.remediation.watched import Seen

OPEN: dict[str, Any] = {}
ASKS = {"phase": "AwaitingGrant", "asks": True}
GRANTED = {**ASKS, "grant": "10:00:00"}
ACTS: dict[str, Any] = {"phase": "Acting", "grant": "10:00:00", "begun": True}
PROVES = {"phase": "Verifying", "begun": True}
CURED = {"phase": "Closed", "outcome": "Recovered", "begun": True}
NOT_CURED = {"phase": "Closed", "outcome": "Quarantined", "begun": True}
HEALED = {"phase": "Closed", "outcome": "SelfHealed"}

Line = tuple[float, str, dict[str, Any]]


def judged(*lines: Line, is_wide: bool = False) -> Judged:
    plan = WorkerPlan(namespace="n", name="w", replicas=5, is_wide=is_wide, faulty=(0, 1, 2))
    record = [Seen(at=at, worker=("n", "w"), incident=name, pod=f"pod-{name}", **fields) for at, name, fields in lines]
    return judge(record, [plan])


def restarted(name: str, begin: float, end: dict[str, Any]) -> list[Line]:
    """A granted one to its end, in three seconds."""
    return [(begin, name, GRANTED), (begin + 1, name, ACTS), (begin + 2, name, PROVES), (begin + 3, name, end)]


def ill(*names: str) -> list[Line]:
    return [(0.0, name, OPEN) for name in names]


def ask(*names: str, at: float = 1.0) -> list[Line]:
    return [(at, name, ASKS) for name in names]


def test_a_wait_runs_from_the_request_and_a_report_from_the_incident() -> None:
    found = judged(*ill("a"), *ask("a"), *restarted("a", 1.5, CURED))
    (one,) = found.waited
    assert (one.wait, one.turn, one.reported, one.is_first) == (0.5, 0, 1.5, True)
    assert (found.requests, found.closed, found.waiting, found.budget, found.brake) == (1, 1, 0, [], [])


def test_the_second_waits_for_its_turn_and_is_late_only_from_then_on() -> None:
    found = judged(*ill("a", "b"), *ask("a", "b"), *restarted("a", 1.5, CURED), (4.75, "b", GRANTED))
    first, second = found.waited
    assert (first.wait, second.wait, second.turn, second.is_first) == (0.5, 0.25, 3.0, False)
    assert found.budget == []


def test_one_too_many_is_seen_at_the_very_change() -> None:
    found = judged(*ill("a", "b"), *ask("a", "b"), (1.5, "a", GRANTED), (1.6, "b", GRANTED), (1.7, "a", CURED))
    assert [breach.why for breach in found.budget] == ["2 replicas in granted steps, 1 allowed"]


def test_two_may_where_two_are_allowed_and_no_cause_stands() -> None:
    found = judged(*ill("a", "b"), *ask("a", "b"), (1.5, "a", GRANTED), (1.6, "b", GRANTED), is_wide=True)
    assert (found.budget, found.brake, len(found.waited)) == ([], [], 2)


def test_two_incidents_of_one_replica_take_one_place() -> None:
    plan = WorkerPlan(namespace="n", name="w", replicas=5, is_wide=False)
    record = [Seen(at=1, worker=("n", "w"), incident=name, pod="p", **ACTS) for name in ("a", "b")]
    assert judge(record, [plan]).budget == []


@pytest.mark.parametrize("state", [GRANTED, ACTS, PROVES, {"phase": "Open", "begun": True}, {"grant": "10:00:00"}])
def test_whoever_is_in_a_granted_step_holds_its_place(state: dict[str, Any]) -> None:
    found = judged(*ill("a", "b"), *ask("a", "b"), (1.5, "a", state), (1.6, "b", GRANTED))
    assert len(found.budget) == 1


@pytest.mark.parametrize("state", [CURED, NOT_CURED, HEALED, ASKS])
def test_whoever_is_not_holds_none(state: dict[str, Any]) -> None:
    found = judged(*ill("a", "b"), *ask("a", "b"), (1.5, "a", GRANTED), (1.6, "a", state), (1.7, "b", GRANTED))
    assert found.budget == []


def test_a_second_trial_is_a_breach_although_the_budget_allows_it() -> None:
    found = judged(*ill("a", "b", "c"), *ask("a", "b", "c"), (1.5, "a", GRANTED), (1.6, "b", GRANTED), is_wide=True)
    assert [breach.why for breach in found.brake] == ["a trial is under way in pod-a"]
    assert found.budget == []


def test_a_cause_that_nobody_could_know_of_forbids_nothing() -> None:
    lines = [*ill("a", "b"), *ask("a", "b"), (1.5, "a", GRANTED), (1.55, "c", OPEN)]
    assert judged(*lines, (1.6, "b", GRANTED), is_wide=True).brake == []
    assert len(judged(*lines, (2.6, "b", GRANTED), is_wide=True).brake) == 1


def test_a_proven_trial_lets_the_others_follow_and_one_that_is_not_lets_nobody() -> None:
    lines = [*ill("a", "b", "c"), *ask("a", "b", "c")]
    after = [(5.0, "b", GRANTED), (5.1, "c", GRANTED)]
    proven = judged(*lines, *restarted("a", 1.5, CURED), *after, is_wide=True)
    assert (proven.brake, proven.trials, proven.held) == ([], 1, 0)
    refuted = judged(*lines, *restarted("a", 1.5, NOT_CURED), *after, is_wide=True)
    assert {breach.why for breach in refuted.brake} == {"the trial was not proven"}
    assert (len(refuted.brake), refuted.trials, refuted.held) == (2, 1, 1)


def test_what_is_held_waits_and_is_late_for_nothing() -> None:
    found = judged(*ill("a", "b", "c"), *ask("a", "b", "c"), *restarted("a", 1.5, NOT_CURED))
    assert (found.waiting, found.held, len(found.waited), found.brake) == (2, 1, 1, [])


def test_the_time_behind_a_trial_is_a_turn() -> None:
    found = judged(
        *ill("a", "b", "c"), *ask("a", "b", "c"), *restarted("a", 1.5, CURED), (4.6, "b", GRANTED), is_wide=True
    )
    second = found.waited[1]
    assert (second.turn, second.wait) == (3.0, pytest.approx(0.1))


def test_a_grant_that_nobody_claimed_is_told_and_given_anew() -> None:
    again = {**ASKS, "grant": "10:00:40"}
    found = judged(*ill("a"), *ask("a"), (1.5, "a", GRANTED), (31.5, "a", ASKS), (31.75, "a", again))
    assert (found.withdrawn, [one.wait for one in found.waited]) == (1, [0.5, 0.25])


def test_a_fifth_restart_within_the_hour_is_a_breach() -> None:
    names = "abcde"
    lines = [*ill(*names), *ask(*names)]
    for number, name in enumerate(names):
        lines += restarted(name, 2.0 + 10 * number, CURED)
    assert [breach.why for breach in judged(*lines).budget] == ["restart 5 within the hour, 4 allowed"]
    assert judged(*lines[:-4]).waiting == 1


def test_times_of_the_course_begin_with_the_first_incident() -> None:
    found = judged((100.0, "a", OPEN), (101.0, "a", ASKS), (101.5, "a", GRANTED), (103.0, "b", ASKS))
    assert (found.asked_at, found.granted_at, found.request_seconds, found.seconds) == ([1.0, 3.0], [1.5], 2.0, 3.0)


def test_of_nothing_nothing_is_said() -> None:
    assert judge([], []) == Judged()
