"""What the pure core does otherwise where there is no pod: a restart by command, a port that cannot be looked at."""

from __future__ import annotations

from datetime import timedelta

import pytest

from llm_watchdog.api.policy import RemediationPolicy, WatchdogPolicy
from llm_watchdog.api.reasons import Mode, Outcome, RestartMethod, RotationReason, Rung, StepOutcome
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.core.case import EngineMark, Stage
from llm_watchdog.core.situation import Modes, OrderAnswer, OrderState
from tests.sidecar.situations import World, ordered, serving

OLD, NEW, NOBODY = EngineMark(listener=11), EngineMark(listener=22), EngineMark(listener=0)
OBSERVE = Modes(mode=Mode.OBSERVE)


def commanded() -> World:
    return ordered(restart_method=RestartMethod.COMMAND, engine=OLD)


def last_step(world: World) -> tuple[Rung, StepOutcome | None, str | None]:
    step = next(s for s in reversed(world.case.status.steps) if s.step is Rung.RESTART)
    return step.step, step.outcome, step.proof


def accepted(world: World) -> OrderAnswer:
    return OrderAnswer(state=OrderState.HONOURED, at=world.now)


def test_while_the_command_runs_the_step_goes_on() -> None:
    world = commanded().look(50.0)
    assert world.case.stage is Stage.ORDERED
    assert world.settle(engine=NEW).case.stage is Stage.VERIFYING


def test_a_command_that_accepted_may_take_the_old_engine_long_to_end() -> None:
    world = commanded().look(50.0)
    world.look(0.0, order=accepted(world))
    world.look(99.0)
    assert world.case.stage is Stage.ORDERED
    world.settle(engine=NOBODY)
    assert world.case.stage is Stage.VERIFYING
    world.look(600.0)
    assert world.case.stage is Stage.VERIFYING, "a model load of 10 minutes"
    world.look(1.0, engine=NEW).healthy()
    assert world.case.status.outcome is Outcome.RECOVERED
    assert len(world.orders) == 1


def test_a_dead_engine_that_nobody_listened_for() -> None:
    world = ordered(restart_method=RestartMethod.COMMAND, engine=NOBODY)
    world.look(1.0, order=accepted(world))
    assert world.case.stage is Stage.VERIFYING


@pytest.mark.parametrize(("startup", "seconds"), [(1800, 100), (40, 40)])
def test_a_command_that_accepted_and_did_nothing(startup: float, seconds: float) -> None:
    policy = WatchdogPolicy(remediation=RemediationPolicy(startup_timeout=Seconds(startup)))
    world = ordered(restart_method=RestartMethod.COMMAND, engine=OLD, policy=policy)
    world.look(0.0, order=accepted(world))
    world.look(seconds - 1)
    assert world.case.stage is Stage.ORDERED
    world.look(1.0)
    assert last_step(world)[:2] == (Rung.RESTART, StepOutcome.FAILED)
    assert f"{seconds} s after the command accepted" in (last_step(world)[2] or "")


def test_an_order_of_an_earlier_process_counts_from_the_start_of_this_one() -> None:
    world = commanded()
    world.look(500.0, order=OrderAnswer(state=OrderState.HONOURED), process_started_at=world.now + timedelta(500))
    assert world.case.stage is Stage.ORDERED


@pytest.mark.parametrize(
    ("state", "outcome"),
    [(OrderState.REFUSED, StepOutcome.FAILED), (OrderState.TIMED_OUT, StepOutcome.TIMED_OUT)],
)
def test_what_the_command_says_is_the_outcome(state: OrderState, outcome: StepOutcome) -> None:
    world = commanded()
    world.look(1.0, order=OrderAnswer(state=state, message="the command said so"))
    assert last_step(world) == (Rung.RESTART, outcome, "the command said so")


def test_where_the_port_cannot_be_looked_at_the_canary_tells() -> None:
    world = ordered(restart_method=RestartMethod.COMMAND, engine=EngineMark())
    world.look(1.0, order=accepted(world))
    assert world.case.stage is Stage.VERIFYING
    assert world.healthy().case.status.outcome is Outcome.RECOVERED


def test_where_the_port_cannot_be_looked_at_a_refusal_is_another_engine() -> None:
    world = serving(engine=EngineMark())
    assert world.in_rotation
    world.look(1.0)
    world.look(0.0, refused_at=world.now)
    assert not world.in_rotation
    assert world.healthy().in_rotation
    assert world.look(5.0).in_rotation


def advised(world: World) -> tuple[bool, RotationReason]:
    assert world.last is not None
    return world.last.advised.in_rotation, world.last.advised.reason


def test_observe_advises_what_enforce_would_do() -> None:
    world = World(facts={"modes": OBSERVE}).settle()
    assert world.in_rotation
    assert advised(world) == (False, RotationReason.STARTING)
    assert advised(world.healthy()) == (True, RotationReason.SERVING)
    assert advised(world.sick()) == (False, RotationReason.FAULTY)
    assert world.in_rotation
    assert advised(world.healthy()) == (True, RotationReason.SERVING)
    assert advised(world.settle(draining=True)) == (False, RotationReason.DRAINING)


def test_under_enforce_the_advice_is_the_rotation() -> None:
    world = serving()
    for step in (world.sick, world.unknown, world.healthy):
        step()
        assert world.last is not None
        assert world.last.advised == world.last.rotation
