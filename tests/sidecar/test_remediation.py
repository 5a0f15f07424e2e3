"""The life of an incident, as a table of what was seen and what came of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from llm_watchdog.api.policy import LaddersPolicy, RemediationPolicy, WatchdogPolicy
from llm_watchdog.api.reasons import (
    FaultClass,
    GrantableStep,
    Mode,
    Outcome,
    Phase,
    Rung,
    StepOutcome,
    VerdictState,
)
from llm_watchdog.api.thresholds import DetectorsPolicy
from llm_watchdog.core.case import Stage
from llm_watchdog.core.findings import Verdict
from llm_watchdog.core.situation import Gate, Modes, Traffic
from tests.sidecar.situations import NEW, START, World, ordered, serving

OBSERVE = Modes(mode=Mode.OBSERVE)


def steps(world: World) -> list[tuple[Rung, StepOutcome | None]]:
    return [(step.step, step.outcome) for step in world.case.status.steps]


def test_a_silent_suspect_leaves_at_once_and_comes_back_when_a_canary_passes() -> None:
    world = serving().sick(state=VerdictState.SUSPECT)
    assert not world.in_rotation
    assert world.case.status.phase is Phase.OPEN
    world.healthy()
    assert world.in_rotation
    assert world.case.status.outcome is Outcome.SELF_HEALED
    assert world.case.status.out_of_rotation_at is not None
    assert not world.orders


def test_a_suspect_that_still_produces_asks_before_it_leaves() -> None:
    world = serving().sick(state=VerdictState.SUSPECT, silent=False)
    assert world.in_rotation
    assert world.case.status.phase is Phase.AWAITING_GRANT
    assert world.case.status.requested_step is GrantableStep.LEAVE_ROTATION
    world.grant(GrantableStep.LEAVE_ROTATION)
    assert world.in_rotation, "the grant is seen, and not claimed yet"
    world.claimed()
    assert not world.in_rotation
    assert world.case.status.phase is Phase.ACTING
    assert world.case.status.steps == []


def test_behind_the_gate_of_a_start_it_asks_nobody_to_leave() -> None:
    """The only replica of a worker that answers wrongly from the start would wait for a second one for ever."""
    world = World(facts={"gate": Gate(in_rotation=False, since=START)}).settle().sick(silent=False)
    assert not world.in_rotation
    assert steps(world) == [(Rung.DRAIN, StepOutcome.SUCCEEDED)]
    assert world.case.status.requested_step is GrantableStep.RESTART


def test_the_whole_way_to_recovery() -> None:
    world = serving().sick()
    assert steps(world) == [(Rung.DRAIN, StepOutcome.SUCCEEDED)]
    assert world.case.status.phase is Phase.AWAITING_GRANT
    assert world.case.status.requested_step is GrantableStep.RESTART
    world.grant()
    assert world.case.stage is Stage.CLAIMING
    assert world.case.status.phase is Phase.ACTING
    assert not world.orders
    world.claimed()
    assert len(world.orders) == 1
    assert world.case.stage is Stage.ORDERED
    world.settle(engine=NEW)
    assert world.case.stage is Stage.VERIFYING
    assert not world.in_rotation
    world.healthy()
    assert world.in_rotation
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.SUCCEEDED)
    assert world.case.status.outcome is Outcome.RECOVERED
    assert world.case.status.time_to_recover_seconds
    assert len(world.orders) == 1


def test_a_grant_that_was_claimed_permits_no_second_restart() -> None:
    """The operator is away: its old grant still stands in the object when the watchdog asks again."""
    ladders = LaddersPolicy(stalled_stream=[Rung.RESTART, Rung.RESTART])
    policy = WatchdogPolicy(remediation=RemediationPolicy(ladders=ladders))
    world = serving(policy=policy).sick().grant().claimed().settle(engine=NEW)
    used = world.views[world.case.name]
    world.sick()
    assert world.case.status.phase is Phase.AWAITING_GRANT
    world.views[world.case.name] = replace(used, phase=Phase.AWAITING_GRANT)
    assert world.settle().case.stage is Stage.AWAITING
    assert len(world.orders) == 1
    assert world.grant().case.stage is Stage.CLAIMING, "a new grant is another matter"


def test_a_departure_and_a_restart_may_be_granted_within_the_same_second() -> None:
    """`grantedAt` has whole seconds, and where nobody is served a drain takes no time."""
    world = serving().sick(silent=False).grant(GrantableStep.LEAVE_ROTATION).claimed()
    assert world.case.status.requested_step is GrantableStep.RESTART
    assert world.grant().case.stage is Stage.CLAIMING


def test_a_canary_that_began_before_the_restart_proves_nothing() -> None:
    world = ordered()
    stale = world.verdict.last_canary_passed_at
    world.settle(engine=NEW)
    world.at += 1
    world.verdict = Verdict(
        state=VerdictState.HEALTHY, at=world.at, message="", last_healthy_at=stale, last_canary_passed_at=stale
    )
    world.settle()
    assert world.case.stage is Stage.VERIFYING
    assert not world.in_rotation


def test_unknown_never_kills_at_any_stage() -> None:
    for sick in (serving().sick(), serving().sick().grant(), serving().sick(state=VerdictState.SUSPECT)):
        world = sick.unknown()
        if world.case.status.requested_step is GrantableStep.RESTART:
            world.grant()
        if world.case.stage is Stage.CLAIMING:
            world.claimed()
        world.look(100.0).settle()
        assert not world.orders


def test_the_operator_may_be_down_for_ever_while_the_api_is_up() -> None:
    world = serving().sick()
    for _ in range(50):
        world.look(600.0)
    assert world.case.status.phase is Phase.AWAITING_GRANT
    assert not world.orders


@pytest.mark.parametrize(
    ("gone_for", "jitter", "silent", "since_last", "restarts"),
    [
        (29.0, 0.0, True, None, 0),
        (31.0, 0.0, True, None, 1),
        (31.0, 5.0, True, None, 0),
        (36.0, 5.0, True, None, 1),
        (300.0, 0.0, False, None, 0),
        (31.0, 0.0, True, 20.0, 0),
        (31.0, 0.0, True, 70.0, 1),
    ],
)
def test_the_exception_to_asking(
    *, gone_for: float, jitter: float, silent: bool, since_last: float | None, restarts: int
) -> None:
    world = serving()
    world.at = 1000.0
    if since_last is not None:
        world.replica = replace(world.replica, last_restart_at=world.now - timedelta(seconds=since_last))
    world.facts["jitter"] = timedelta(seconds=jitter)
    world.facts["api_unreachable_since"] = world.now - timedelta(seconds=gone_for)
    world.facts["gate"] = Gate(in_rotation=True, since=START)
    world.sick(seconds=0.0, silent=silent)
    assert len(world.orders) == restarts


def test_a_claimed_grant_is_given_back_when_it_was_withdrawn_before_the_claim() -> None:
    world = serving().sick().grant()
    world.views[world.case.name] = replace(world.views[world.case.name], grant=None)
    world.settle()
    assert world.case.stage is Stage.AWAITING
    assert steps(world) == [(Rung.DRAIN, StepOutcome.SUCCEEDED)]
    assert not world.orders


def test_no_restart_before_the_api_shows_it_out_of_rotation() -> None:
    world = serving().sick().grant()
    world.views[world.case.name] = replace(world.views[world.case.name], phase=Phase.ACTING)
    for _ in range(3):
        world.facts["gate"] = Gate(in_rotation=True, since=START)
        world.look()
    assert not world.orders
    world.settle()
    assert len(world.orders) == 1


def test_no_restart_without_a_durable_record() -> None:
    world = serving(journal_durable=False).sick().grant().claimed()
    assert not world.orders
    world.settle(journal_durable=True)
    assert len(world.orders) == 1


def test_healed_between_claim_and_order() -> None:
    world = serving(journal_durable=False).sick().grant().claimed().healthy()
    assert world.case.status.outcome is Outcome.SELF_HEALED
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.FAILED)
    assert not world.orders


def test_observe_acts_on_nothing_and_says_what_it_would_have_done() -> None:
    world = serving(modes=OBSERVE).sick()
    assert world.in_rotation
    assert steps(world.sick()) == [(Rung.DRAIN, StepOutcome.DRY_RUN)]
    assert world.case.status.phase is Phase.OPEN
    world.healthy()
    assert world.case.status.outcome is Outcome.OBSERVED
    assert not world.orders


def test_from_observe_to_enforce_a_new_incident_goes_on() -> None:
    world = serving(modes=OBSERVE).sick()
    world.settle(modes=Modes())
    assert [case.status.outcome for case in world.replica.cases] == [Outcome.OBSERVED, None]
    assert world.case.incident.spec.mode is Mode.ENFORCE
    assert world.case.status.requested_step is GrantableStep.RESTART
    assert not world.in_rotation


@pytest.mark.parametrize("stage", ["awaiting", "claimed"])
def test_observe_in_the_middle_of_it_stops_it(stage: str) -> None:
    world = serving(journal_durable=False).sick()
    if stage == "claimed":
        world.grant().claimed()
    world.settle(modes=OBSERVE, journal_durable=True)
    assert world.in_rotation
    assert world.case.stage is Stage.WATCHING
    assert not world.orders


def test_a_class_can_be_observed_alone() -> None:
    modes = Modes(overrides={FaultClass.STALLED_STREAM: Mode.OBSERVE})
    assert serving(modes=modes).sick().in_rotation
    assert not serving(modes=modes).sick(fault=FaultClass.ENGINE_DEAD).in_rotation


def test_one_incident_per_class_and_repeats_are_counted() -> None:
    world = serving().sick(silent=False, state=VerdictState.SUSPECT)
    world.verdict = Verdict(state=VerdictState.SUSPECT, at=world.at, message="")
    world.settle().sick(silent=False, state=VerdictState.SUSPECT)
    assert len(world.replica.cases) == 1
    assert world.case.status.occurrences == 2
    world.healthy().sick()
    assert [case.name.rsplit("-", 1)[1] for case in world.replica.cases] == ["1", "2"]


def test_the_drain_waits_for_what_is_in_flight() -> None:
    traffic = Traffic(in_flight=2, moving=True)
    world = serving(traffic=traffic).sick(silent=False).grant(GrantableStep.LEAVE_ROTATION).claimed()
    assert world.case.stage is Stage.DRAINING
    world.look(10.0)
    assert world.case.stage is Stage.DRAINING
    world.settle(traffic=Traffic(in_flight=0, moving=False))
    assert world.case.status.requested_step is GrantableStep.RESTART


def test_a_drain_ends_after_its_time() -> None:
    traffic = Traffic(in_flight=None)
    world = serving(traffic=traffic).sick(silent=False).grant(GrantableStep.LEAVE_ROTATION).claimed()
    world.look(31.0).settle()
    assert steps(world) == [(Rung.DRAIN, StepOutcome.TIMED_OUT)]


def test_a_ladder_of_the_users_own() -> None:
    ladders = LaddersPolicy(stalled_stream=[Rung.QUARANTINE])
    policy = WatchdogPolicy(detectors=DetectorsPolicy(), remediation=RemediationPolicy(ladders=ladders))
    world = serving(policy=policy).sick()
    assert steps(world) == [(Rung.QUARANTINE, StepOutcome.SUCCEEDED)]


def test_a_graver_fault_does_not_wait_behind_a_request_to_leave_rotation() -> None:
    """The operator never lets the last replica go on mere suspicion; then it hangs."""
    world = serving().sick(fault=FaultClass.WAKE_FAILED, state=VerdictState.SUSPECT, silent=False)
    assert world.case.status.requested_step is GrantableStep.LEAVE_ROTATION
    mild = world.verdict.findings[0]
    world.sick()
    world.verdict = replace(world.verdict, findings=(mild, *world.verdict.findings))
    world.settle()
    assert [case.status.requested_step for case in world.replica.cases] == [None, GrantableStep.RESTART]
    world.grant().claimed()
    assert len(world.orders) == 1


@pytest.mark.parametrize("fault", [FaultClass.STALLED_STREAM, FaultClass.LEAKED_CONCURRENCY])
def test_an_alert_without_consequences_does_not_keep_an_incident_open(fault: FaultClass) -> None:
    world = serving().sick(state=VerdictState.SUSPECT)
    world.at += 5
    alert = replace(world.verdict.findings[0], fault=fault, silent=False, incident=False)
    world.verdict = replace(world.verdict, findings=(alert,), last_healthy_at=world.at, last_canary_passed_at=world.at)
    world.settle()
    assert [case.status.outcome for case in world.replica.cases] == [Outcome.SELF_HEALED]
