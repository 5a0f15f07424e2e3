"""Metered engines: what is counted, when it is asked, and that the day's tokens are never exceeded."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_watchdog.api.policy import CanaryPolicy, EngineTarget, EngineType, ProbeCost, WatchdogPolicy
from llm_watchdog.api.reasons import UnknownReason, VerdictState
from llm_watchdog.api.thresholds import ChecksPolicy
from llm_watchdog.core import metering
from llm_watchdog.core.cadence import canary_due_at
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Content
from llm_watchdog.core.intake import observe, observe_all
from llm_watchdog.core.metering import Meter
from llm_watchdog.core.observations import AnswerKind, HealthObservation, StatusObservation, StatusReading
from llm_watchdog.core.replica import Replica
from llm_watchdog.core.verdict import judge
from llm_watchdog.core.window import Window
from llm_watchdog.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

YESTERDAY, DAY, TOMORROW = "2026-11-20", "2026-11-21", "2026-11-22"
POLICY = WatchdogPolicy()
METERED = EngineTarget(type=EngineType.CHATCHAT)
FREE = EngineTarget(type=EngineType.FASTCHAT)
PASSED, SILENT = CanaryOutcome.SUCCEEDED, CanaryOutcome.NO_FIRST_TOKEN


def canary(outcome: CanaryOutcome = PASSED, at: float = 0.0, **facts: object) -> CanaryObservation:
    tokens = 4 if outcome is PASSED else 0
    last = at + 0.1 if tokens else None
    made = CanaryObservation(
        id=f"c-{at}",
        shape="chat/4",
        started_at=at,
        outcome=outcome,
        finished_at=at + 0.1,
        first_token_at=last,
        last_token_at=last,
        tokens=tokens,
        max_tokens=4,
    )
    return replace(made, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "tokens"),
    [
        (canary(), 64 + 4),
        (canary(content=Content(prompt_tokens=9, completion_tokens=5)), 9 + 5),
        (canary(SILENT), 64 + 4),
        (canary(CanaryOutcome.TOKEN_GAP, tokens=2), 64 + 4),
        (canary(CanaryOutcome.WITHDRAWN, tokens=1), 64 + 4),
        (canary(CanaryOutcome.INCOMPLETE, tokens=9), 64 + 9),
        (canary(CanaryOutcome.ERROR_IN_STREAM, tokens=1), 64 + 4),
        (canary(CanaryOutcome.ERROR_IN_STREAM), 0),
        (canary(CanaryOutcome.SERVER_ERROR), 0),
        (canary(CanaryOutcome.REJECTED), 0),
        (canary(CanaryOutcome.REFUSED), 0),
        (canary(CanaryOutcome.NOT_SENT), 0),
        (canary(CanaryOutcome.IMPOSSIBLE), 0),
    ],
)
def test_what_a_canary_costs_at_most(seen: CanaryObservation, tokens: int) -> None:
    assert metering.cost(seen) == tokens


def test_a_new_day_is_a_new_meter_and_a_clock_that_was_set_back_is_not() -> None:
    meter = Meter().add(canary(), DAY).add(canary(), DAY)
    assert meter == Meter(day=DAY, tokens=136)
    assert meter.on(TOMORROW) == Meter(day=TOMORROW)
    assert meter.on(YESTERDAY) == meter
    assert meter.add(canary(), YESTERDAY) == Meter(day=DAY, tokens=204)


@given(
    cap=st.integers(0, 2000),
    outcomes=st.lists(st.sampled_from([PASSED, SILENT, CanaryOutcome.TOKEN_GAP, CanaryOutcome.REJECTED]), max_size=60),
)
def test_the_cap_holds_whatever_the_canaries_find(cap: int, outcomes: list[CanaryOutcome]) -> None:
    policy = WatchdogPolicy(checks=ChecksPolicy(tokens_per_day=cap), canary=CanaryPolicy(max_tokens=4))
    window, now = Window(), 0.0
    for outcome in outcomes:
        due = canary_due_at(window, METERED, policy, now)
        while due is not None and due > now:
            now = due
            due = canary_due_at(window, METERED, policy, now)
        now += 1.0
        if due is None:
            continue
        seen = canary(outcome, now)
        window = observe(window, seen)
        window = replace(window, meter=window.meter.add(seen, DAY))
        assert window.meter.tokens <= cap


def test_spent_is_unknown_and_the_next_day_it_is_asked_again() -> None:
    spent = Window(meter=Meter(day=DAY, tokens=9_999))
    assert canary_due_at(spent, METERED, POLICY, 0.0) is None
    verdict = judge(spent, METERED, POLICY, 0.0)
    assert (verdict.state, verdict.unknown) == (VerdictState.UNKNOWN, UnknownReason.TOKENS_SPENT)
    assert "9999 of 10000 tokens" in verdict.message
    answered = observe(spent, canary())
    assert judge(answered, METERED, POLICY, 10.0).state is VerdictState.HEALTHY
    assert judge(answered, METERED, POLICY, 1000.0).unknown is UnknownReason.TOKENS_SPENT
    tomorrow = replace(spent, meter=spent.meter.on(TOMORROW))
    assert canary_due_at(tomorrow, METERED, POLICY, 0.0) == 0.0
    assert canary_due_at(spent, replace(METERED, probe_cost=ProbeCost.FREE), POLICY, 0.0) == 0.0


def test_an_engine_that_was_restarted_has_not_got_its_tokens_back() -> None:
    window = Window(meter=Meter(day=DAY, tokens=500))
    assert window.restarted("another process").meter == Meter(day=DAY, tokens=500)


def test_a_watchdog_that_starts_again_reads_what_was_spent_in_its_journal(tmp_path: Path) -> None:
    Journal(tmp_path).write(Replica(meter=Meter(day=DAY, tokens=500)))
    assert Journal(tmp_path).replay().replica.meter == Meter(day=DAY, tokens=500)


def test_a_metered_engine_that_answered_is_left_alone_and_says_why_nothing_is_known() -> None:
    window = observe(Window(), canary())
    assert canary_due_at(window, METERED, POLICY, 5000.0) is None
    verdict = judge(window, METERED, POLICY, 5000.0)
    assert verdict.unknown is UnknownReason.NO_CANARY
    assert "metered" in verdict.message


@pytest.mark.parametrize(
    "sign",
    [
        HealthObservation(at=40.0, kind=AnswerKind.ANSWERED, http_status=503),
        HealthObservation(at=40.0, kind=AnswerKind.SILENT),
        StatusObservation(at=40.0, name="x", kind=AnswerKind.CUT),
        StatusObservation(at=40.0, name="x", kind=AnswerKind.ANSWERED, http_status=500),
    ],
)
def test_a_passive_look_that_fails_is_a_suspicion_worth_a_canary_now_and_then(
    sign: HealthObservation | StatusObservation,
) -> None:
    window = observe_all(Window(), [canary(at=0.0), sign])
    assert canary_due_at(window, METERED, POLICY, 29.0) is None
    assert canary_due_at(window, METERED, POLICY, 40.0) is not None
    fine = HealthObservation(at=41.0, kind=AnswerKind.ANSWERED, http_status=200)
    status = StatusObservation(at=41.0, name="x", kind=AnswerKind.ANSWERED, http_status=200)
    assert canary_due_at(observe_all(window, [fine, status]), METERED, POLICY, 42.0) is None


def test_questions_that_stay_open_become_rare() -> None:
    window = Window()
    times: list[float] = []
    now = 0.0
    while len(times) < 16:
        due = canary_due_at(window, METERED, POLICY, now)
        assert due is not None
        now = max(now, due)
        times.append(now)
        window = observe(window, canary(CanaryOutcome.SERVER_ERROR, now))
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == [2.0] * 11 + [60.0] * 4


def leaked(at: float, queue: int) -> StatusObservation:
    reading = StatusReading(busy=queue, abandoned_stay=True)
    return StatusObservation(at=at, name="worker_get_status", kind=AnswerKind.ANSWERED, reading=reading)


@pytest.mark.parametrize(("queue", "asked"), [(0, True), (4, True), (5, False), (9, False)])
def test_no_canary_joins_a_fastchat_queue_at_its_limit(queue: int, *, asked: bool) -> None:
    window = observe_all(Window(), [canary(), leaked(1.0, queue)])
    due = canary_due_at(window, replace(FREE, concurrency=5), POLICY, 10.0)
    assert (due is not None) is asked
    later = observe(window, leaked(12.0, 0))
    assert canary_due_at(later, replace(FREE, concurrency=5), POLICY, 13.0) is not None


def test_where_the_limit_is_not_known_two_unanswered_canaries_are_all_that_a_queue_gets() -> None:
    window = observe_all(Window(), [canary(), canary(SILENT, 2.0), leaked(13.0, 1)])
    assert canary_due_at(window, FREE, POLICY, 14.0) is not None
    window = observe_all(window, [canary(SILENT, 14.0), leaked(25.0, 2)])
    assert canary_due_at(window, FREE, POLICY, 1000.0) is None
    assert canary_due_at(observe(window, leaked(1001.0, 0)), FREE, POLICY, 1002.0) is not None


def test_no_canary_where_the_cheaper_question_says_that_no_slot_is_free() -> None:
    target = EngineTarget(type=EngineType.DBGPT, probe_cost=ProbeCost.FREE)
    hangs = StatusObservation(at=5.0, name="model_metadata", kind=AnswerKind.SILENT, takes_slot=True)
    up = HealthObservation(at=4.0, kind=AnswerKind.ANSWERED, http_status=200)
    assert canary_due_at(observe_all(Window(), [canary(), up, hangs]), target, POLICY, 10.0) is None
    assert canary_due_at(observe_all(Window(), [canary(), hangs]), target, POLICY, 10.0) is not None
    dead = replace(up, kind=AnswerKind.SILENT, http_status=None)
    assert canary_due_at(observe_all(Window(), [canary(), dead, hangs]), target, POLICY, 10.0) is not None
    other = replace(hangs, takes_slot=False)
    assert canary_due_at(observe_all(Window(), [canary(), up, other]), target, POLICY, 10.0) is not None
