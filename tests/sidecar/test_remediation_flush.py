"""The flush of a prefix cache: where it is the cure, never beside users, and believed only when it has helped."""

from __future__ import annotations

from typing import Any

import pytest

from llm_watchdog.api.policy import AttemptsPolicy, LaddersPolicy, RemediationPolicy, WatchdogPolicy
from llm_watchdog.api.reasons import (
    FaultClass,
    FindingReason,
    GrantableStep,
    Mode,
    Outcome,
    Rung,
    StepOutcome,
    UnknownReason,
)
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.core.case import Stage
from llm_watchdog.core.replica import Replica
from llm_watchdog.core.situation import Modes, OrderAnswer, OrderState, Traffic
from tests.sidecar.situations import NOT_MADE, World, serving

BUSY = Traffic(in_flight=2, moving=True)
EMPTY = Traffic(in_flight=0, moving=False)


def corrupt(world: World, reason: FindingReason = FindingReason.CACHE_CORRUPT, seconds: float = 1.0) -> World:
    return world.sick(seconds, silent=False, fault=FaultClass.DEGRADED_OUTPUT, reason=reason)


def left(reason: FindingReason = FindingReason.CACHE_CORRUPT, **facts: Any) -> World:
    """It was let out of rotation."""
    world = corrupt(serving(can_flush=True, **facts), reason)
    return world.grant(GrantableStep.LEAVE_ROTATION).claimed()


def answered(world: World, state: OrderState, message: str = "") -> World:
    return world.settle(flush=OrderAnswer(state=state, message=message))


def steps(world: World) -> list[tuple[Rung, StepOutcome | None]]:
    return [(step.step, step.outcome) for step in world.case.status.steps]


def test_a_corrupt_cache_is_flushed_and_proven() -> None:
    world = left()
    assert len(world.flushes) == 1
    assert world.case.stage is Stage.FLUSHING
    answered(world, OrderState.HONOURED)
    assert (world.case.stage, world.in_rotation) == (Stage.VERIFYING, False)
    world.settle(unchecked="start-up checks to be made: CachePair").healthy()
    assert not world.case.closed, "a canary alone does not use the cache"
    world.settle(unchecked="")
    assert (world.case.status.outcome, world.in_rotation) == (Outcome.RECOVERED, True)
    assert steps(world) == [(Rung.FLUSH_CACHE, StepOutcome.SUCCEEDED)]
    assert not world.orders


def test_a_flush_that_did_nothing_is_followed_by_a_restart() -> None:
    """vLLM up to 0.25 answers 200 then."""
    world = corrupt(answered(left(), OrderState.HONOURED))
    assert steps(world) == [(Rung.FLUSH_CACHE, StepOutcome.FAILED), (Rung.DRAIN, StepOutcome.SUCCEEDED)]
    assert world.case.status.requested_step is GrantableStep.RESTART


def test_what_was_still_in_the_cache_is_told() -> None:
    world = answered(left(), OrderState.HONOURED)
    corrupt(world.settle(kept_tokens=192.0))
    assert world.case.status.steps[0].outcome is StepOutcome.FAILED
    assert "192 tokens of a prompt from before it" in (world.case.status.steps[0].proof or "")


def test_who_is_well_after_a_flush_that_emptied_nothing_was_not_cured_by_it() -> None:
    world = answered(left(), OrderState.HONOURED).settle(kept_tokens=192.0).healthy()
    assert world.case.status.outcome is Outcome.RECOVERED
    assert steps(world) == [(Rung.FLUSH_CACHE, StepOutcome.FAILED)]
    assert "though FlushCache had failed" in world.case.status.message


@pytest.mark.parametrize(("state", "outcome"), NOT_MADE)
def test_a_flush_that_was_not_made_is_followed_by_the_next_rung(state: OrderState, outcome: StepOutcome) -> None:
    world = answered(left(), state, "why not")
    assert steps(world)[0] == (Rung.FLUSH_CACHE, outcome)
    assert world.case.status.steps[0].proof == "why not"
    assert world.case.status.requested_step is GrantableStep.RESTART


@pytest.mark.parametrize("reason", [FindingReason.DRIFTED, FindingReason.WRONG_ANSWER, FindingReason.REPETITION])
def test_what_a_flush_does_not_cure_is_not_flushed(reason: FindingReason) -> None:
    world = left(reason)
    assert steps(world) == [(Rung.DRAIN, StepOutcome.SUCCEEDED)]
    assert not world.flushes


def test_an_engine_that_cannot_be_flushed_is_restarted() -> None:
    world = corrupt(serving()).grant(GrantableStep.LEAVE_ROTATION).claimed()
    assert steps(world) == [(Rung.FLUSH_CACHE, StepOutcome.UNAVAILABLE), (Rung.DRAIN, StepOutcome.SUCCEEDED)]


def test_it_is_never_flushed_beside_users() -> None:
    world = left(traffic=BUSY)
    assert not world.flushes
    world.look(10.0, traffic=EMPTY)
    assert len(world.flushes) == 1


def test_users_who_do_not_end_are_not_flushed_beside() -> None:
    world = left(traffic=BUSY).look(31.0).settle()
    assert not world.flushes
    assert steps(world)[0] == (Rung.FLUSH_CACHE, StepOutcome.TIMED_OUT)


def test_a_flush_that_a_dead_process_began_is_ordered_again() -> None:
    world = answered(left(), OrderState.ABSENT)
    assert len(world.flushes) == 2
    answered(world, OrderState.HONOURED)
    assert [step for step, _ in steps(world)] == [Rung.FLUSH_CACHE]


def test_a_flush_is_repeated_as_often_as_allowed() -> None:
    attempts = AttemptsPolicy(flush_cache=2)
    world = left(policy=WatchdogPolicy(remediation=RemediationPolicy(attempts=attempts)))
    corrupt(answered(world, OrderState.HONOURED))
    assert len(world.flushes) == 2
    corrupt(answered(world, OrderState.HONOURED))
    assert steps(world)[:2] == [(Rung.FLUSH_CACHE, StepOutcome.FAILED)] * 2
    assert world.case.status.requested_step is GrantableStep.RESTART


def test_a_flush_is_not_repeated_when_the_cache_is_no_longer_to_blame() -> None:
    attempts = AttemptsPolicy(flush_cache=2)
    world = left(policy=WatchdogPolicy(remediation=RemediationPolicy(attempts=attempts)))
    corrupt(answered(world, OrderState.HONOURED), FindingReason.DRIFTED)
    assert len(world.flushes) == 1
    assert world.case.status.requested_step is GrantableStep.RESTART


def test_a_flush_whose_effect_never_shows_has_failed() -> None:
    world = answered(left(), OrderState.HONOURED)
    corrupt_since_before = world.verdict
    world.look(200.0)
    world.verdict = corrupt_since_before
    world.settle()
    assert steps(world)[0] == (Rung.FLUSH_CACHE, StepOutcome.TIMED_OUT)


def test_a_flush_that_is_never_answered_is_given_up() -> None:
    remediation = RemediationPolicy(flush_timeout=Seconds(20))
    world = left(policy=WatchdogPolicy(remediation=remediation)).look(19.0)
    assert world.case.stage is Stage.FLUSHING
    world.look(2.0).settle()
    assert steps(world)[0] == (Rung.FLUSH_CACHE, StepOutcome.TIMED_OUT)
    assert world.case.status.requested_step is GrantableStep.RESTART


def test_how_long_its_effect_may_take_to_show_is_the_users() -> None:
    remediation = RemediationPolicy(flush_timeout=Seconds(20))
    world = answered(left(policy=WatchdogPolicy(remediation=remediation)), OrderState.HONOURED)
    corrupt_since_before = world.verdict
    world.look(19.0)
    assert world.case.stage is Stage.VERIFYING
    world.look(2.0)
    world.verdict = corrupt_since_before
    assert steps(world.settle())[0] == (Rung.FLUSH_CACHE, StepOutcome.TIMED_OUT)


def test_observe_writes_the_flush_down_and_makes_none() -> None:
    world = corrupt(serving(can_flush=True, modes=Modes(mode=Mode.OBSERVE)))
    assert steps(world) == [(Rung.FLUSH_CACHE, StepOutcome.DRY_RUN)]
    assert (world.flushes, world.in_rotation) == ([], True)


def test_observe_passes_over_what_is_no_cure() -> None:
    world = corrupt(serving(can_flush=True, modes=Modes(mode=Mode.OBSERVE)), FindingReason.DRIFTED)
    assert steps(world) == [(Rung.DRAIN, StepOutcome.DRY_RUN)]


def test_a_users_ladder_of_a_flush_alone_ends_with_a_person() -> None:
    ladders = LaddersPolicy(degraded_output=[Rung.FLUSH_CACHE])
    world = left(policy=WatchdogPolicy(remediation=RemediationPolicy(ladders=ladders)))
    corrupt(answered(world, OrderState.HONOURED))
    assert steps(world) == [(Rung.FLUSH_CACHE, StepOutcome.FAILED), (Rung.QUARANTINE, StepOutcome.SUCCEEDED)]


# After somebody else's sleep and wake.


def woken(**facts: Any) -> World:
    world = serving(**{"can_flush": True, **facts}).unknown(UnknownReason.ASLEEP)
    return world.unknown(UnknownReason.STARTING)


def outcome(world: World) -> StepOutcome | None:
    assert world.replica.precaution is not None
    return world.replica.precaution.outcome


def test_after_a_wake_the_cache_is_flushed_before_anybody_is_served() -> None:
    world = woken()
    assert len(world.flushes) == 1
    world.healthy()
    assert not world.in_rotation, "the flush is not answered yet"
    answered(world, OrderState.HONOURED)
    assert outcome(world) is StepOutcome.SUCCEEDED
    assert not world.in_rotation, "what passed before the flush proves nothing"
    world.healthy()
    assert world.in_rotation
    assert not world.replica.cases


def test_each_wake_is_flushed_once() -> None:
    world = answered(woken(), OrderState.HONOURED).healthy()
    assert len(world.healthy(100.0).flushes) == 1
    world.unknown(UnknownReason.ASLEEP).unknown(UnknownReason.STARTING)
    assert len(world.flushes) == 2


@pytest.mark.parametrize("state", [OrderState.REFUSED, OrderState.TIMED_OUT, OrderState.UNAVAILABLE])
def test_a_precaution_that_cannot_be_taken_holds_nothing_up(state: OrderState) -> None:
    world = answered(woken(), state).healthy()
    assert world.in_rotation


def test_a_precaution_that_emptied_nothing_is_told_and_holds_nothing_up() -> None:
    """No fault was found: what is in the cache passed its checks."""
    world = answered(woken(), OrderState.HONOURED).settle(kept_tokens=192.0).healthy()
    assert (outcome(world), world.in_rotation) == (StepOutcome.FAILED, True)
    assert world.replica.precaution is not None
    assert "emptied nothing" in world.replica.precaution.message
    assert not world.replica.cases


def test_a_wake_with_users_waits_for_them_for_as_long_as_a_drain_may_take() -> None:
    world = woken(traffic=BUSY).healthy()
    assert not world.flushes
    assert not world.in_rotation
    world.look(31.0).healthy()
    assert (outcome(world), world.flushes, world.in_rotation) == (StepOutcome.TIMED_OUT, [], True)


def test_a_fault_that_is_found_first_is_dealt_with_first() -> None:
    world = woken(traffic=BUSY).sick(fault=FaultClass.WAKE_FAILED)
    assert outcome(world) is StepOutcome.FAILED
    assert world.case.fault is FaultClass.WAKE_FAILED


def test_observe_says_what_it_would_do_after_a_wake() -> None:
    world = woken(modes=Modes(mode=Mode.OBSERVE)).healthy()
    assert (outcome(world), world.flushes, world.in_rotation) == (StepOutcome.DRY_RUN, [], True)


def test_the_mode_may_change_while_the_flush_waits_for_users() -> None:
    world = woken(traffic=BUSY).settle(modes=Modes(mode=Mode.OBSERVE))
    world.look(1.0, traffic=EMPTY).healthy()
    assert (outcome(world), world.flushes, world.in_rotation) == (StepOutcome.DRY_RUN, [], True)


def test_an_engine_without_a_flush_needs_no_precaution() -> None:
    world = woken(can_flush=False).healthy()
    assert world.replica.precaution is None
    assert world.in_rotation


def test_a_replica_that_never_slept_is_not_flushed() -> None:
    assert Replica().precaution is None
    assert not serving(can_flush=True).healthy(1000.0).flushes
