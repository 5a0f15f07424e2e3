"""From what was done to what it is worth."""

from dataclasses import replace

import pytest

from benchmarks.detection.behaviours import FAULTY, HEALTHY
from benchmarks.detection.cases import Case, Story, draw
from benchmarks.detection.results import alarms, cost, detected_within, detection
from benchmarks.detection.scoring import Score, score
from benchmarks.detection.trace import Deed, Event, Trace

HANG = draw(FAULTY[0], "hang", "vllm", "1")
SLOW = draw(HEALTHY[0], "slow-health=1.03", "vllm", "1")
ENTERED, LEFT, RESTART, OPENED = Deed.ENTERED, Deed.LEFT, Deed.RESTART, Deed.OPENED


def scored(case: Case, *events: tuple[float, Deed], onset: float | None = None, found: str = "StalledStream") -> Score:
    trace = Trace([Event(at, deed, found if deed is OPENED else "", "NoFirstToken") for at, deed in events])
    trace.onset, trace.ended = onset, 3600.0
    return score(case, "x", trace)


def test_the_first_reaction_counts_from_the_onset() -> None:
    found = scored(HANG, (20, ENTERED), (107, LEFT), (112, OPENED), (123, RESTART), (150, ENTERED), onset=100)
    assert (found.detected, found.seconds, found.out_seconds) == (True, 7, 7)
    assert (found.incident_seconds, found.restart_seconds, found.back_seconds) == (12, 23, 50)
    assert (found.right_class, found.found) == (True, "StalledStream/NoFirstToken")
    assert (found.false_outs, found.false_restarts, found.false_incidents) == (0, 0, 0)


def test_no_reaction_is_a_miss_and_a_fault_that_never_came_is_none() -> None:
    assert not scored(HANG, (20, ENTERED), onset=100).detected
    assert scored(HANG, (20, ENTERED), onset=100).began
    assert not scored(HANG, (20, ENTERED)).began


def test_another_class_is_told() -> None:
    assert scored(HANG, (20, ENTERED), (112, OPENED), onset=100, found="CrossTalk").right_class is False


def test_what_comes_before_the_fault_is_false() -> None:
    found = scored(HANG, (20, ENTERED), (50, LEFT), (51, OPENED), (60, ENTERED), (107, LEFT), onset=100)
    assert (found.false_outs, found.false_incidents, found.seconds) == (1, 1, 7)


def test_a_restart_that_takes_it_out_of_rotation_is_one_reaction() -> None:
    found = scored(SLOW, (20, ENTERED), (50, RESTART), (51, LEFT), (90, ENTERED), (200, LEFT))
    assert (found.false_outs, found.false_restarts) == (1, 1)


def test_out_of_rotation_is_right_while_nothing_can_be_served() -> None:
    asleep = replace(SLOW, unserved=True)
    ordered = asleep.startup_seconds + asleep.onset
    found = scored(asleep, (20, ENTERED), (ordered + 5, LEFT), (ordered + 9, RESTART))
    assert (found.false_outs, found.false_restarts) == (0, 1)
    assert scored(asleep, (20, ENTERED), (ordered - 5, LEFT)).false_outs == 1


def test_a_replica_that_does_not_come_back_from_a_sleep_was_never_served_by() -> None:
    woken = replace(HANG, story=Story.WAKE)
    ordered = woken.startup_seconds + woken.onset
    stays = scored(woken, (20, ENTERED), (ordered + 6, LEFT), (ordered + 80, OPENED), onset=ordered + 65)
    assert (stays.seconds, stays.out_seconds, stays.false_outs) == (0, 0, 0)
    returns = scored(woken, (20, ENTERED), (ordered + 6, LEFT), (ordered + 70, ENTERED), onset=ordered + 65)
    assert not returns.detected


@pytest.fixture
def some() -> list[Score]:
    seconds = (5, 8, 300)
    hits = [scored(HANG, (20, ENTERED), (100 + after, LEFT), onset=100) for after in seconds]
    return [*hits, scored(HANG, (20, ENTERED), onset=100), scored(HANG, (20, ENTERED))]


def test_sums(some: list[Score]) -> None:
    found = detection(some)
    assert (found.runs, found.hits, found.p50, found.p99) == (4, 3, 8, 300)
    assert detected_within(some, 10) == 0.5
    assert detected_within(some[4:], 10) is None
    false = alarms([replace(one, healthy_hours=1.0) for one in some])
    assert (false.hours, false.outs, false.restarts) == (5, 0, 0)
    assert false.restarts_at_most == pytest.approx(599.1, abs=0.1)


def test_cost_is_per_hour() -> None:
    one = replace(scored(HANG), requests=10, tokens=4, user_tokens=1000, hours=0.5)
    spent = cost([one, one])
    assert (spent.requests, spent.tokens, spent.share) == (20, 8, 0.004)
