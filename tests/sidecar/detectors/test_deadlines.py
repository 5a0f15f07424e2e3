"""What is learned, from what, and what is not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_watchdog.api.policy import WatchdogPolicy
from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.api.thresholds import StalledStreamPolicy
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.deadlines import (
    GROWTH_MAX,
    SAMPLES_MIN,
    deadlines,
    endless_after,
    growth,
    learn,
    patience,
    usual,
)
from llm_watchdog.core.findings import Finding, Verdict
from llm_watchdog.core.habits import Habit
from llm_watchdog.core.intake import observe, observe_all
from llm_watchdog.core.observations import AnswerKind, MetricsObservation, MetricsReading, SocketsObservation
from llm_watchdog.core.window import Window

POLICY = StalledStreamPolicy()
SHAPE = "completions/4"


def answered(at: float, seconds: float, *, gap: float = 0.01) -> CanaryObservation:
    return CanaryObservation(
        id=str(at),
        shape=SHAPE,
        started_at=at,
        first_token_at=at + seconds,
        last_token_at=at + seconds + 3 * gap,
        finished_at=at + seconds + 3 * gap,
        tokens=4,
        outcome=CanaryOutcome.SUCCEEDED,
    )


def test_a_first_answer_that_compiles_is_not_how_slow_the_model_is() -> None:
    window = observe_all(Window(), (answered(0.0, 70.0), answered(80.0, 0.1)))
    assert deadlines(window, POLICY, SHAPE, 0).first_token == POLICY.first_token_deadline


def test_a_slow_decay_does_not_become_the_nature_of_the_model() -> None:
    window = observe_all(Window(), [answered(20.0 * n, 0.1 * 1.3**n) for n in range(20)])
    assert deadlines(window, POLICY, SHAPE, 0).first_token == POLICY.first_token_deadline


def test_the_nature_of_a_shape_that_was_not_asked_yet_is_that_of_the_slowest() -> None:
    window = observe_all(Window(), [answered(100.0 * n, 25.0) for n in range(3)])
    assert deadlines(window, POLICY, "completions/check", 0).first_token == 50.0
    fixed = replace(POLICY, learn=False)
    assert deadlines(window, fixed, "completions/check", 0).first_token == POLICY.first_token_deadline


def test_a_canary_is_waited_for_longer_each_time_until_one_is_answered() -> None:
    policy, waits, window = WatchdogPolicy(), [], Window()
    for number in range(6):
        waits.append(patience(window, policy, SHAPE))
        silent = CanaryObservation(
            id=str(number), shape=SHAPE, started_at=200.0 * number, outcome=CanaryOutcome.NO_FIRST_TOKEN
        )
        window = observe(window, replace(silent, finished_at=silent.started_at + waits[-1]))
    assert waits == [10, 20, 40, 80, 120, 120]
    assert patience(observe(window, answered(2000.0, 0.1)), policy, SHAPE) == 10


def well(at: float) -> Verdict:
    return Verdict(state=VerdictState.HEALTHY, at=at, message="")


def sick(at: float) -> Verdict:
    found = Finding(
        fault=FaultClass.STALLED_STREAM,
        reason=FindingReason.NO_FIRST_TOKEN,
        state=VerdictState.SUSPECT,
        message="",
        since=at,
        silent=True,
    )
    return Verdict(state=VerdictState.SUSPECT, at=at, message="", findings=(found,))


def lived(count: int, seconds: float, *, gap: float = 0.01, window: Window | None = None, at: float = 0.0) -> Window:
    window = Window() if window is None else window
    for n in range(count):
        begin = at + 20.0 * n
        window = observe_all(
            window, (SocketsObservation(at=begin - 0.5, readable=True), answered(begin, seconds, gap=gap))
        )
        window = learn(window, well(begin + 15))
    return window


def test_the_first_of_a_shape_is_not_counted_and_thirty_are_needed() -> None:
    assert usual(lived(SAMPLES_MIN, 8.0), SHAPE) is None
    assert usual(lived(SAMPLES_MIN + 1, 8.0), SHAPE) == pytest.approx(8.0)


def test_floors_and_growth() -> None:
    fast, slow = lived(40, 0.05), lived(40, 8.0, gap=4.0)
    fixed = deadlines(Window(), POLICY, SHAPE, 0)
    assert deadlines(fast, POLICY, SHAPE, 0) == fixed
    grown = deadlines(slow, POLICY, SHAPE, 0)
    assert 8.0 < grown.first_token < 20.0
    assert 4.0 < grown.token_gap < 20.0
    assert grown.restart / fixed.restart == pytest.approx(grown.first_token / fixed.first_token)
    assert deadlines(slow, replace(POLICY, learn=False), SHAPE, 0) == fixed


def test_another_load_is_learned_apart() -> None:
    quick = deadlines(lived(40, 2.0), POLICY, SHAPE, 20)
    assert (quick.busy, quick.busy_restart) == (POLICY.busy_deadline, POLICY.busy_restart_deadline)
    slow = deadlines(lived(40, 8.0), POLICY, SHAPE, 20)
    assert (slow.busy, slow.busy_restart) == (slow.first_token, POLICY.busy_restart_deadline), "not quicker than alone"


def test_a_canary_that_began_in_a_sick_period_is_passed_over() -> None:
    window = lived(40, 0.05)
    before = window.habits.first_token
    window = learn(window, sick(1000.0))
    for n in range(40):
        begin = 990.0 + n / 10
        window = learn(observe(window, answered(begin, 9.0)), well(begin + 9.1))
    assert window.habits.first_token == before


def test_what_ended_in_a_sick_period_is_not_learned_later() -> None:
    window = observe(lived(40, 0.05), answered(1000.0, 9.0))
    before = window.habits.first_token
    assert learn(learn(window, sick(1010.0)), well(1020.0)).habits.first_token == before


def test_the_engines_histogram_moves_the_busy_deadline_alone() -> None:
    window = Window()
    for n in range(40):
        reading = MetricsReading(first_token_sum=15.0 * n, first_token_count=float(n))
        window = learn(
            observe(window, MetricsObservation(at=10.0 * n, kind=AnswerKind.ANSWERED, reading=reading)), well(10.0 * n)
        )
    grown = deadlines(window, POLICY, SHAPE, 3)
    assert 15.0 < grown.busy <= 40.0
    assert grown.busy_restart > POLICY.busy_restart_deadline
    assert grown.first_token == POLICY.first_token_deadline


def test_the_same_observation_is_learned_from_once() -> None:
    window = lived(5, 1.0)
    again = learn(learn(window, well(500.0)), well(501.0))
    assert again.habits.first_token == window.habits.first_token


@given(st.integers(0, 10**6), st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats(1e-3, 1e4))
def test_a_deadline_never_shrinks_and_never_grows_without_end(
    count: int, mean: float, variance: float, floor: float
) -> None:
    times = growth(Habit(count=count, mean=mean, variance=variance), floor)
    assert 1.0 <= times <= GROWTH_MAX * (1 + 1e-9)


@given(st.lists(st.floats(0.001, 9.0), min_size=SAMPLES_MIN + 1, max_size=80))
def test_ordinary_times_stay_within_their_own_deadline(seconds: list[float]) -> None:
    window = Window()
    for n, value in enumerate(seconds):
        window = observe_all(window, (SocketsObservation(at=20.0 * n - 0.5, readable=True), answered(20.0 * n, value)))
        window = learn(window, well(20.0 * n + 15))
    median = usual(window, SHAPE)
    assert median is not None
    assert min(seconds) * 0.99 <= median <= max(seconds) * 1.01
    assert math.isfinite(deadlines(window, POLICY, SHAPE, 0).restart)


def test_what_is_an_answer_without_end_is_known_after_a_few_and_follows_the_longest() -> None:
    window = Window()
    known = []
    for n, tokens in enumerate((15, 15, 90, 15, 15, 15, 15, 15, 4000)):
        window = observe(window, replace(answered(2.0 * n, 0.1), tokens=tokens))
        known.append(endless_after(window, SHAPE))
    assert known == [0, 0] + [1800] * 7, "of the first eight, so that one which runs away is not the norm"
