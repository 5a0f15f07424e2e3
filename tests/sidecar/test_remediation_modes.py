"""`Off`, per class or for all, and a pause: what is not begun, what is still proven, and what the record says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from llm_watchdog.api.document import decode, encode
from llm_watchdog.api.policy import AttemptsPolicy, RemediationPolicy, WatchdogPolicy
from llm_watchdog.api.reasons import (
    FaultClass,
    FindingReason,
    GrantableStep,
    Mode,
    Outcome,
    Phase,
    Rung,
    StepOutcome,
    UnknownReason,
    VerdictState,
)
from llm_watchdog.core.case import Stage
from llm_watchdog.core.replica import Replica
from llm_watchdog.core.situation import Modes, OrderAnswer, OrderState, Traffic
from llm_watchdog.core.verdict import judge
from tests.sidecar.detectors.stage import BEGIN, Odd, played
from tests.sidecar.simulation import between
from tests.sidecar.situations import NEW, World, ordered, serving

if TYPE_CHECKING:
    from llm_watchdog.core.findings import Verdict

OFF = Modes(mode=Mode.OFF)
PAUSED = Modes(paused="a new driver")
ALL = frozenset(FaultClass)


def steps(world: World) -> list[tuple[Rung, StepOutcome | None]]:
    return [(step.step, step.outcome) for step in world.case.status.steps]


def unheeded(world: World) -> World:
    """As the watcher tells it where the class is `Off` and nothing else is known."""
    verdict: Verdict = world.verdict
    world.verdict = replace(verdict, state=VerdictState.UNKNOWN, unknown=UnknownReason.PROBE_FAILED, findings=())
    return world


def cache_to_blame(in_flight: int) -> World:
    """Out of rotation, and to be flushed as soon as nobody is served."""
    world = serving(can_flush=True, traffic=Traffic(in_flight=in_flight, moving=in_flight > 0))
    world.sick(silent=False, fault=FaultClass.DEGRADED_OUTPUT, reason=FindingReason.CACHE_CORRUPT)
    return world.grant(GrantableStep.LEAVE_ROTATION).claimed()


# What is found of a class that is off.


def test_what_is_found_of_a_class_that_is_off_is_not_in_the_verdict() -> None:
    stage = played(Odd(errors=between(BEGIN)), BEGIN + 60)
    assert stage.verdict.state is VerdictState.FAULTY
    fault = stage.verdict.findings[0].fault
    heeded = judge(stage.window, stage.target, stage.policy, stage.now, frozenset({fault}))
    assert fault not in {finding.fault for finding in heeded.findings}
    alone = judge(stage.window, stage.target, stage.policy, stage.now, ALL - {fault})
    assert {finding.fault for finding in alone.findings} == {fault}


def test_with_all_classes_off_a_healthy_engine_is_healthy_and_a_sick_one_is_unknown_in_the_end() -> None:
    sick, well = played(Odd(errors=between(BEGIN)), BEGIN + 300), played(Odd(), BEGIN)
    assert judge(well.window, well.target, well.policy, well.now, ALL).state is VerdictState.HEALTHY
    heeded = judge(sick.window, sick.target, sick.policy, sick.now, ALL)
    assert (heeded.state, heeded.findings) == (VerdictState.UNKNOWN, ())


def test_a_class_that_is_off_costs_no_rotation_while_another_is_enforced() -> None:
    modes = Modes(overrides={FaultClass.DEGRADED_OUTPUT: Mode.OFF})
    assert modes.ignored == {FaultClass.DEGRADED_OUTPUT}
    assert modes.held(FaultClass.DEGRADED_OUTPUT)
    assert not modes.held(FaultClass.ENGINE_DEAD)
    assert not serving(modes=modes).sick(fault=FaultClass.ENGINE_DEAD).in_rotation


def test_off_leaves_everything_in_rotation() -> None:
    world = serving(modes=OFF).unknown(UnknownReason.STARTING)
    assert world.settle(engine=NEW).in_rotation
    assert world.last is not None
    assert "mode Off" in world.last.rotation.message


# Switched off in the middle of it.


def test_an_incident_that_waits_is_closed_when_its_class_is_switched_off() -> None:
    world = serving().sick()
    assert world.case.status.phase is Phase.AWAITING_GRANT
    unheeded(world).settle(modes=OFF)
    assert (world.case.status.outcome, world.case.status.phase) == (Outcome.OBSERVED, Phase.CLOSED)
    assert "The mode is Off now" in world.case.status.message
    assert world.in_rotation


def test_a_step_that_was_written_down_is_not_carried_out_when_its_class_is_switched_off() -> None:
    world = serving(journal_durable=False).sick().grant().claimed()
    unheeded(world).settle(modes=OFF, journal_durable=True)
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.FAILED)
    assert world.case.status.steps[-1].proof == "not carried out: the mode is Off now"
    assert not world.orders


def test_a_restart_that_is_out_is_proven_and_closed() -> None:
    world = unheeded(ordered()).settle(modes=OFF)
    assert world.case.stage is Stage.ORDERED
    world.settle(engine=NEW).healthy()
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.SUCCEEDED)
    assert world.case.status.outcome is Outcome.RECOVERED


def test_a_restart_that_is_never_proven_does_not_stay_open() -> None:
    world = unheeded(ordered()).settle(modes=OFF).settle(engine=NEW)
    world.look(1801.0).settle()
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.TIMED_OUT)
    assert world.case.status.outcome is Outcome.OBSERVED
    assert len(world.orders) == 1


# Paused.


def test_while_paused_nothing_is_asked_for_and_the_record_says_why() -> None:
    world = serving(modes=PAUSED).sick(silent=False)
    assert (world.case.stage, world.case.status.requested_step) == (Stage.WATCHING, None)
    assert world.case.status.message == "no token for 5.0 s. paused: a new driver."
    world.look(600.0).settle()
    assert world.case.status.steps == []
    world.settle(modes=Modes())
    assert world.case.status.requested_step is GrantableStep.LEAVE_ROTATION
    assert "paused" not in world.case.status.message


def test_a_silent_replica_leaves_and_comes_back_while_paused() -> None:
    world = serving(modes=PAUSED).sick()
    assert not world.in_rotation
    assert world.case.status.steps == []
    world.healthy()
    assert (world.in_rotation, world.case.status.outcome) == (True, Outcome.SELF_HEALED)


def test_what_waits_for_a_grant_stops_asking() -> None:
    world = serving().sick().settle(modes=PAUSED)
    assert (world.case.stage, world.case.status.phase) == (Stage.WATCHING, Phase.OPEN)
    world.settle(modes=Modes())
    assert world.case.status.requested_step is GrantableStep.RESTART


def test_a_claimed_step_is_not_carried_out() -> None:
    world = serving(journal_durable=False).sick().grant().claimed().settle(modes=PAUSED, journal_durable=True)
    assert world.case.status.steps[-1].proof == "not carried out: paused: a new driver"
    assert not world.orders


def test_a_replica_that_nobody_serves_does_not_help_itself() -> None:
    world = serving(modes=PAUSED)
    world.at = 1000.0
    world.facts["api_unreachable_since"] = world.now
    world.sick().look(60.0).settle()
    assert not world.orders


def test_what_has_begun_is_proven_and_closed() -> None:
    world = ordered().settle(modes=PAUSED, engine=NEW)
    assert world.case.stage is Stage.VERIFYING
    assert "paused: a new driver" in world.case.status.message
    world.healthy()
    assert world.case.status.outcome is Outcome.RECOVERED


def test_what_did_not_help_is_judged_and_the_rung_after_it_waits() -> None:
    world = ordered().settle(modes=PAUSED, engine=NEW).sick()
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.FAILED)
    assert (world.case.stage, world.case.next_rung) == (Stage.WATCHING, Rung.REPLACE_POD)
    world.settle(modes=Modes())
    assert world.case.status.outcome is Outcome.QUARANTINED


def test_an_attempt_that_is_left_is_not_lost_in_a_pause() -> None:
    policy = WatchdogPolicy(remediation=RemediationPolicy(attempts=AttemptsPolicy(restart=2)))
    world = ordered(policy=policy).settle(modes=PAUSED, engine=NEW).sick()
    assert (world.case.next_rung, world.case.attempt) == (Rung.RESTART, 2)
    assert world.settle(modes=Modes()).case.status.requested_step is GrantableStep.RESTART


def test_a_flush_that_is_out_is_answered_for_and_one_that_waits_is_not_given() -> None:
    world = cache_to_blame(in_flight=0).settle(modes=PAUSED).settle(flush=OrderAnswer(state=OrderState.HONOURED))
    assert (world.case.stage, len(world.flushes)) == (Stage.VERIFYING, 1)
    waits = cache_to_blame(in_flight=1).settle(modes=PAUSED, traffic=Traffic(in_flight=0, moving=False))
    assert (waits.case.stage, waits.flushes) == (Stage.WATCHING, [])


def test_the_reason_may_change_and_the_finding_too() -> None:
    world = serving(modes=PAUSED).sick(silent=False)
    world.settle(modes=Modes(paused="a drill"))
    assert world.case.status.message == "no token for 5.0 s. paused: a drill."
    world.sick(silent=False, reason=FindingReason.TOKEN_GAP)
    assert world.case.status.message.count("paused:") == 1


@pytest.mark.parametrize("modes", [PAUSED, OFF])
def test_the_journal_keeps_it(modes: Modes) -> None:
    replica = replace(serving().replica, modes=modes)
    assert decode(Replica, encode(replica)).modes == modes


def test_a_class_that_is_enforced_under_observe_leaves_rotation_and_restarts() -> None:
    modes = Modes(mode=Mode.OBSERVE, overrides={FaultClass.STALLED_STREAM: Mode.ENFORCE})
    world = serving(modes=modes).sick()
    assert not world.in_rotation
    world.grant().claimed()
    assert len(world.orders) == 1
    assert serving(modes=modes).sick(fault=FaultClass.ENGINE_DEAD).in_rotation
    world.settle(modes=Modes(mode=Mode.OBSERVE))
    assert world.unknown().in_rotation
