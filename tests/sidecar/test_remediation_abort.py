"""The mildest rung: own requests, at once, beside users, and on record only where there was something to abort."""

from __future__ import annotations

from typing import Any

import pytest

from llm_watchdog.api.policy import LaddersPolicy, RemediationPolicy, WatchdogPolicy
from llm_watchdog.api.reasons import (
    FaultClass,
    FindingReason,
    GrantableStep,
    Mode,
    Outcome,
    Phase,
    Rung,
    StepOutcome,
    VerdictState,
)
from llm_watchdog.core.case import Stage
from llm_watchdog.core.situation import Modes, OrderAnswer, OrderState, Traffic
from tests.sidecar.situations import NOT_MADE, World, serving

BUSY = Traffic(in_flight=2, moving=True)


def running_away(world: World, **kwargs: Any) -> World:
    reason = FindingReason.TOKENS_FOR_NOBODY
    return world.sick(silent=False, fault=FaultClass.RUNAWAY_GENERATION, reason=reason, **kwargs)


def aborting(**facts: Any) -> World:
    return running_away(serving(abortable=2, **facts))


def answered(world: World, state: OrderState, message: str = "") -> World:
    return world.settle(abort=OrderAnswer(state=state, message=message))


def steps(world: World) -> list[tuple[Rung, StepOutcome | None]]:
    return [(step.step, step.outcome) for step in world.case.status.steps]


@pytest.mark.parametrize("fault", [FaultClass.RUNAWAY_GENERATION, FaultClass.LEAKED_CONCURRENCY])
def test_own_requests_are_aborted_beside_users_and_a_canary_proves_it(fault: FaultClass) -> None:
    world = serving(abortable=2, traffic=BUSY).sick(silent=False, fault=fault)
    assert (len(world.aborts), world.case.stage) == (1, Stage.ABORTING)
    assert world.in_rotation
    assert world.case.status.phase is Phase.OPEN, "what needs no grant must not look like a granted step"
    answered(world, OrderState.HONOURED)
    assert world.case.stage is Stage.VERIFYING
    world.healthy()
    assert (world.case.status.outcome, world.in_rotation) == (Outcome.RECOVERED, True)
    assert steps(world) == [(Rung.ABORT_REQUEST, StepOutcome.SUCCEEDED)]
    assert not world.orders


def test_a_suspicion_is_enough_for_it_and_for_nothing_harder() -> None:
    world = running_away(serving(abortable=1), state=VerdictState.SUSPECT)
    assert len(world.aborts) == 1
    answered(world, OrderState.HONOURED).look(31.0)
    running_away(world, state=VerdictState.SUSPECT)
    assert steps(world) == [(Rung.ABORT_REQUEST, StepOutcome.TIMED_OUT)]
    assert world.case.status.requested_step is GrantableStep.LEAVE_ROTATION
    assert len(world.aborts) == 1


def test_what_runs_away_all_the_same_is_not_ours() -> None:
    world = running_away(answered(aborting(), OrderState.HONOURED))
    assert steps(world) == [(Rung.ABORT_REQUEST, StepOutcome.FAILED)]
    assert world.case.status.requested_step is GrantableStep.LEAVE_ROTATION
    world.grant(GrantableStep.LEAVE_ROTATION).claimed()
    assert steps(world)[1:] == [(Rung.DRAIN, StepOutcome.SUCCEEDED)]
    assert world.case.status.requested_step is GrantableStep.RESTART


@pytest.mark.parametrize(("state", "outcome"), NOT_MADE)
def test_an_abort_that_was_not_made_is_followed_by_the_next_rung(state: OrderState, outcome: StepOutcome) -> None:
    world = answered(aborting(), state, "why not")
    assert steps(world) == [(Rung.ABORT_REQUEST, outcome)]
    assert world.case.status.steps[0].proof == "why not"
    assert world.case.status.requested_step is GrantableStep.LEAVE_ROTATION


def test_an_abort_that_is_never_answered_is_given_up() -> None:
    world = aborting().look(29.0)
    assert world.case.stage is Stage.ABORTING
    assert steps(world.look(2.0).settle()) == [(Rung.ABORT_REQUEST, StepOutcome.TIMED_OUT)]


def test_where_nothing_of_ours_can_run_the_record_does_not_speak_of_it() -> None:
    world = running_away(serving()).grant(GrantableStep.LEAVE_ROTATION).claimed()
    assert not world.aborts
    assert steps(world) == [(Rung.DRAIN, StepOutcome.SUCCEEDED)]


def test_an_abort_that_a_dead_process_ordered_is_ordered_again() -> None:
    world = answered(aborting(), OrderState.ABSENT)
    assert len(world.aborts) == 2
    assert len(world.case.status.steps) == 1


def test_observe_writes_the_abort_down_and_makes_none() -> None:
    world = aborting(modes=Modes(mode=Mode.OBSERVE))
    assert (steps(world), world.aborts) == ([(Rung.ABORT_REQUEST, StepOutcome.DRY_RUN)], [])


def test_a_ladder_may_begin_with_it_for_any_class() -> None:
    ladders = LaddersPolicy(stalled_stream=[Rung.ABORT_REQUEST, Rung.QUARANTINE])
    world = serving(abortable=1, policy=WatchdogPolicy(remediation=RemediationPolicy(ladders=ladders))).sick()
    assert not world.in_rotation, "it is silent"
    answered(world, OrderState.HONOURED).sick()
    assert steps(world) == [(Rung.ABORT_REQUEST, StepOutcome.FAILED), (Rung.QUARANTINE, StepOutcome.SUCCEEDED)]
