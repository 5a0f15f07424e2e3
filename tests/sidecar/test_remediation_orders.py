"""A restart from its order to its proof, or to the rung after it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from llm_watchdog.api.policy import AttemptsPolicy, RemediationPolicy, WatchdogPolicy
from llm_watchdog.api.reasons import (
    GrantableStep,
    Mode,
    Outcome,
    RestartMethod,
    RotationReason,
    Rung,
    StepOutcome,
    UnknownReason,
)
from llm_watchdog.core.case import EngineMark, Stage
from llm_watchdog.core.container import CRASH_LOOP, ContainerEnd, EngineContainer
from llm_watchdog.core.situation import Modes, OrderAnswer, OrderState
from tests.sidecar.situations import NEW, OLD, World, ordered, serving

GIVEN_UP = [(Rung.REPLACE_POD, StepOutcome.UNAVAILABLE), (Rung.QUARANTINE, StepOutcome.SUCCEEDED)]
"""Without an operator."""


def steps(world: World) -> list[tuple[Rung, StepOutcome | None]]:
    return [(step.step, step.outcome) for step in world.case.status.steps]


def test_an_order_that_was_never_handed_over_needs_fresh_evidence() -> None:
    world = ordered()
    world.unknown(UnknownReason.STARTING)
    world.settle(order=OrderAnswer(state=OrderState.ABSENT))
    assert world.case.stage is Stage.CLAIMED
    assert len(world.orders) == 1
    world.sick()
    assert len(world.orders) == 2
    assert len([step for step in world.case.status.steps if step.step is Rung.RESTART]) == 1


@pytest.mark.parametrize("answer", [OrderState.PENDING, OrderState.HONOURED])
def test_an_engine_that_stays_the_same_was_not_restarted(answer: OrderState) -> None:
    world = ordered()
    world.look(29.0, order=OrderAnswer(state=answer))
    assert world.case.stage is Stage.ORDERED
    world.look(2.0).settle()
    assert steps(world)[-3:] == [(Rung.RESTART, StepOutcome.FAILED), *GIVEN_UP]
    assert world.case.status.outcome is Outcome.QUARANTINED
    assert len(world.orders) == 1


def test_a_refused_order_is_not_given_again() -> None:
    world = ordered().settle(order=OrderAnswer(state=OrderState.REFUSED, message="5 in the last hour"))
    assert (Rung.RESTART, StepOutcome.FAILED) in steps(world)
    assert world.case.status.outcome is Outcome.QUARANTINED
    assert len(world.orders) == 1


def test_a_fault_that_comes_back_goes_to_quarantine_until_it_is_released() -> None:
    world = ordered().settle(engine=NEW).sick()
    assert world.case.status.outcome is Outcome.QUARANTINED
    assert world.last is not None
    assert world.last.rotation.reason is RotationReason.QUARANTINED
    world.healthy()
    assert not world.in_rotation
    world.settle(release="looked at it")
    assert world.last.rotation.reason is RotationReason.STARTING
    assert "looked at it" in world.case.status.message
    world.healthy()
    assert world.in_rotation


def test_a_start_that_takes_too_long_goes_to_quarantine() -> None:
    world = ordered().settle(engine=NEW).unknown(UnknownReason.STARTING)
    world.look(1799.0).settle()
    assert world.case.stage is Stage.VERIFYING
    world.look(2.0).settle()
    assert world.case.status.outcome is not Outcome.RECOVERED
    assert (Rung.RESTART, StepOutcome.TIMED_OUT) in steps(world)
    assert world.case.status.outcome is Outcome.QUARANTINED


def test_a_method_that_is_not_known_yet_is_waited_for_and_one_that_does_not_exist_is_passed_over() -> None:
    world = serving(restart_method=None).sick().grant().claimed()
    assert not world.orders
    world.settle(restart_method=RestartMethod.LIVENESS_PROBE)
    assert [order.method for order in world.orders] == [RestartMethod.LIVENESS_PROBE]
    other = serving(restart_method=RestartMethod.UNAVAILABLE).sick()
    assert steps(other) == [
        (Rung.DRAIN, StepOutcome.SUCCEEDED),
        (Rung.RESTART, StepOutcome.UNAVAILABLE),
        *GIVEN_UP,
    ]


def twice(rung: str, **facts: Any) -> dict[str, Any]:
    attempts = AttemptsPolicy(**{rung: 2})
    return {"policy": WatchdogPolicy(remediation=RemediationPolicy(attempts=attempts)), **facts}


def test_a_restart_is_repeated_as_often_as_allowed_and_each_one_is_on_record() -> None:
    world = ordered(**twice("restart")).settle(engine=NEW).sick()
    assert world.case.status.requested_step is GrantableStep.RESTART, "with a grant of its own"
    assert len(world.orders) == 1
    world.grant().claimed()
    assert [order.id.rsplit("-", 2)[1] for order in world.orders] == ["1", "2"]
    world.settle(engine=EngineMark(container_id="containerd://c", listener=33)).sick()
    assert steps(world)[1:] == [
        (Rung.RESTART, StepOutcome.FAILED),
        (Rung.RESTART, StepOutcome.FAILED),
        *GIVEN_UP,
    ]
    proofs = [step.proof or "" for step in world.case.status.steps[1:3]]
    assert [proof.partition(":")[0] for proof in proofs] == ["attempt 1 of 2", "attempt 2 of 2"]


def test_no_attempt_follows_without_a_verification_that_saw_the_fault_again() -> None:
    world = ordered(**twice("restart")).settle(engine=NEW).unknown(UnknownReason.STARTING)
    world.look(1801.0).settle()
    assert steps(world)[-3:] == [(Rung.RESTART, StepOutcome.TIMED_OUT), *GIVEN_UP]


def test_a_restart_that_was_not_carried_out_is_not_tried_again() -> None:
    world = ordered(**twice("restart")).settle(order=OrderAnswer(state=OrderState.REFUSED, message="5 in the hour"))
    assert steps(world)[-3:] == [(Rung.RESTART, StepOutcome.FAILED), *GIVEN_UP]


def test_a_restart_that_was_called_off_is_no_attempt() -> None:
    observed = {"modes": Modes(mode=Mode.OBSERVE)}
    world = serving(**twice("restart"), journal_durable=False).sick().grant().claimed()
    world.settle(**observed).settle(modes=Modes(), journal_durable=True)
    assert world.case.attempt == 1
    assert world.case.status.requested_step is GrantableStep.RESTART


def test_without_the_api_the_listening_socket_tells_the_new_engine() -> None:
    world = ordered().look(1.0, engine=EngineMark(listener=0)).settle()
    assert world.case.stage is Stage.ORDERED
    world.settle(engine=EngineMark(listener=NEW.listener))
    assert world.case.stage is Stage.VERIFYING


def test_an_old_container_id_is_the_old_engine_whatever_listens() -> None:
    world = ordered().settle(engine=EngineMark(container_id=OLD.container_id, listener=NEW.listener))
    assert world.case.stage is Stage.ORDERED


def kubelet(world: World, *, run: str, reason: str = "Error", waiting: str = "") -> dict[str, Any]:
    """The run of the engine that ended just now, as the kubelet tells it."""
    end = ContainerEnd(container_id=run, reason=reason, exit_code=137, at=world.now + timedelta(seconds=1))
    return {"container": EngineContainer(waiting=waiting, ended=end)}


@pytest.mark.parametrize(
    ("reason", "waiting", "said"),
    [
        ("OOMKilled", "", "OOMKilled 1 s after the order"),
        ("OOMKilled", CRASH_LOOP, "OOMKilled 1 s after the order"),
        ("Error", CRASH_LOOP, "ended with exit code 137 (Error) 1 s after the order, and is in CrashLoopBackOff"),
    ],
)
def test_a_new_engine_that_the_kubelet_sees_fail_is_not_waited_for(reason: str, waiting: str, said: str) -> None:
    world = ordered(**twice("restart"))
    assert NEW.container_id is not None
    failed = kubelet(world, run=NEW.container_id, reason=reason, waiting=waiting)
    world.settle(engine=NEW)
    world.facts |= failed
    world.sick()
    (restart,) = [step for step in world.case.status.steps if step.step is Rung.RESTART]
    assert restart.outcome is StepOutcome.FAILED
    assert said in (restart.proof or "")
    assert world.case.status.outcome is Outcome.QUARANTINED, "the kubelet starts it over and over already"
    assert len(world.orders) == 1


def test_a_new_engine_that_ended_once_and_passes_its_canary_is_proven() -> None:
    world = ordered()
    assert NEW.container_id is not None
    world.look(2.0, engine=NEW, **kubelet(world, run=NEW.container_id)).settle()
    assert world.case.stage is Stage.VERIFYING
    assert world.healthy().case.status.outcome is Outcome.RECOVERED


def test_the_kubelet_may_wait_before_it_starts_the_new_engine() -> None:
    """`LivenessProbe`: 10 s, doubling to 300 s. The old engine has ended as ordered, which is no failure."""
    world = ordered(restart_method=RestartMethod.LIVENESS_PROBE)
    assert OLD.container_id is not None
    world.look(2.0, **kubelet(world, run=OLD.container_id, waiting=CRASH_LOOP))
    world.look(290.0).settle()
    assert world.case.stage is Stage.ORDERED
    world.settle(engine=NEW, container=EngineContainer()).healthy()
    assert world.case.status.outcome is Outcome.RECOVERED


def test_a_kubelet_that_never_starts_it_again_is_not_waited_for_for_ever() -> None:
    world = ordered()
    assert OLD.container_id is not None
    world.look(2.0, **kubelet(world, run=OLD.container_id, waiting=CRASH_LOOP))
    world.look(1800.0).settle()
    (restart,) = [step for step in world.case.status.steps if step.step is Rung.RESTART]
    assert (restart.outcome, CRASH_LOOP in (restart.proof or "")) == (StepOutcome.FAILED, True)
