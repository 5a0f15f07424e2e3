"""Another pod: asked for when a restart did not cure, ordered by the record, taken back while that is possible."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.api.policy import AttemptsPolicy, BudgetPolicy, RemediationPolicy, WatchdogPolicy
from llm_watchdog.api.reasons import (
    FaultClass,
    FindingReason,
    GrantableStep,
    Mode,
    Outcome,
    Phase,
    RestartMethod,
    Rung,
    StepOutcome,
    UnknownReason,
)
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.core.case import Stage
from llm_watchdog.core.container import CRASH_LOOP, ContainerEnd, EngineContainer
from llm_watchdog.core.replica import forget
from llm_watchdog.core.situation import Gate, Modes
from tests.sidecar.situations import NEW, START, World, ordered, serving

if TYPE_CHECKING:
    from llm_watchdog.api.incident import Incident

REPLACE = GrantableStep.REPLACE_POD
PAUSED = Modes(paused="a new driver")


def steps(world: World) -> list[tuple[Rung, StepOutcome | None]]:
    return [(step.step, step.outcome) for step in world.case.status.steps]


def uncured(**facts: Any) -> World:
    """Restarted, and the fault is back."""
    return ordered(has_operator=True, **facts).settle(engine=NEW).sick()


def evicting(**facts: Any) -> World:
    """The order is on record."""
    return uncured(**facts).grant(REPLACE).claimed()


def test_another_pod_is_asked_for_when_a_restart_did_not_cure() -> None:
    world = uncured()
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.FAILED)
    assert world.case.status.phase is Phase.AWAITING_GRANT
    assert world.case.status.requested_step is REPLACE
    assert not world.in_rotation


def test_the_same_where_no_method_restarts_it() -> None:
    world = serving(has_operator=True, restart_method=RestartMethod.UNAVAILABLE).sick()
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.UNAVAILABLE)
    assert world.case.status.requested_step is REPLACE


def test_the_same_where_the_kubelet_saw_the_new_engine_end() -> None:
    world = ordered(has_operator=True)
    at = world.now + timedelta(seconds=5)
    killed = ContainerEnd(container_id=str(NEW.container_id), reason="OOMKilled", exit_code=137, at=at)
    world.settle(engine=NEW).unknown().look(10.0, container=EngineContainer(ended=killed))
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.FAILED)
    assert world.case.status.requested_step is REPLACE


def test_the_claim_reserves_it_and_the_record_orders_it() -> None:
    world = uncured().grant(REPLACE)
    assert (world.case.stage, world.case.status.phase) == (Stage.CLAIMING, Phase.ACTING)
    assert steps(world)[-1][0] is Rung.RESTART, "nothing is ordered by a claim that may come late"
    world.claimed()
    assert world.case.stage is Stage.REPLACING
    assert world.case.status.phase is Phase.ACTING
    assert steps(world)[-1] == (Rung.REPLACE_POD, None)
    assert world.case.status.requested_step is None
    assert len(world.orders) == 1, "the restart, and no other"


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"journal_durable": False}, id="no durable record"),
        pytest.param({"api_unreachable_since": START}, id="nobody there to evict"),
    ],
)
def test_what_is_not_ordered(facts: dict[str, Any]) -> None:
    world = uncured().grant(REPLACE)
    world.facts |= facts
    world.claimed()
    assert world.case.stage is Stage.REPLACING
    assert steps(world)[-1][0] is Rung.RESTART
    world.settle(journal_durable=True, api_unreachable_since=None)
    assert steps(world)[-1] == (Rung.REPLACE_POD, None)


def test_not_while_the_api_shows_it_in_rotation() -> None:
    world = uncured().grant(REPLACE)
    world.views[world.case.name] = replace(world.views[world.case.name], phase=Phase.ACTING)
    for _ in range(3):
        world.look(0.0, gate=Gate(in_rotation=True, since=START))
        assert steps(world)[-1][0] is Rung.RESTART


def test_unknown_gives_no_replica_up() -> None:
    asked = uncured().unknown().grant(REPLACE).look(100.0)
    assert asked.case.stage is Stage.AWAITING
    claimed = uncured().grant(REPLACE).unknown().claimed().look(100.0)
    assert steps(claimed)[-1][0] is Rung.RESTART


def test_healed_between_claim_and_order() -> None:
    world = uncured().grant(REPLACE).healthy().claimed()
    assert world.case.status.outcome is Outcome.RECOVERED
    assert Rung.REPLACE_POD not in [step for step, _ in steps(world)]


def test_healed_before_the_eviction() -> None:
    world = evicting().healthy()
    assert steps(world)[-1] == (Rung.REPLACE_POD, StepOutcome.FAILED)
    assert "a canary passed" in (world.case.status.steps[-1].proof or "")
    assert world.case.status.outcome is Outcome.RECOVERED
    assert world.in_rotation


def test_a_pause_takes_the_order_back_and_its_end_asks_again() -> None:
    world = evicting().settle(modes=PAUSED)
    assert world.case.stage is Stage.WATCHING
    assert world.case.status.phase is Phase.OPEN
    assert steps(world)[-1] == (Rung.REPLACE_POD, StepOutcome.FAILED)
    world.settle(modes=Modes())
    assert world.case.status.requested_step is REPLACE
    assert len(world.orders) == 1


def test_the_mode_off_takes_the_order_back() -> None:
    world = evicting().unknown().settle(modes=Modes(mode=Mode.OFF))
    assert world.case.status.outcome is Outcome.OBSERVED
    assert steps(world)[-1] == (Rung.REPLACE_POD, StepOutcome.FAILED)


def test_while_the_pod_is_being_stopped_the_order_stands() -> None:
    world = evicting().settle(draining=True).settle(modes=PAUSED).look(1900.0).healthy()
    assert world.case.stage is Stage.REPLACING
    assert steps(world)[-1] == (Rung.REPLACE_POD, None)


def test_a_pod_that_nobody_evicts_is_put_into_quarantine() -> None:
    world = evicting().look(1799.0)
    assert world.case.stage is Stage.REPLACING
    world.look(1.0).settle()
    assert steps(world)[-2:] == [
        (Rung.REPLACE_POD, StepOutcome.TIMED_OUT),
        (Rung.QUARANTINE, StepOutcome.SUCCEEDED),
    ]
    assert world.case.status.outcome is Outcome.QUARANTINED


def test_without_an_operator_the_ladder_goes_on() -> None:
    world = ordered().settle(engine=NEW).sick()
    assert steps(world)[-2:] == [
        (Rung.REPLACE_POD, StepOutcome.UNAVAILABLE),
        (Rung.QUARANTINE, StepOutcome.SUCCEEDED),
    ]


def test_a_grant_that_was_withdrawn_before_the_claim_is_asked_for_again() -> None:
    world = uncured().grant(REPLACE)
    before = steps(world)
    world.views[world.case.name] = replace(world.views[world.case.name], grant=None)
    world.settle()
    assert world.case.stage is Stage.AWAITING
    assert steps(world) == before


def test_observe_names_the_rung() -> None:
    only = RemediationPolicy(ladders=replace(RemediationPolicy().ladders, stalled_stream=[Rung.REPLACE_POD]))
    observe = Modes(mode=Mode.OBSERVE)
    world = serving(modes=observe, has_operator=True, policy=WatchdogPolicy(remediation=only)).sick()
    assert steps(world) == [(Rung.REPLACE_POD, StepOutcome.DRY_RUN)]


def test_an_order_of_a_life_that_is_forgotten_is_taken_back() -> None:
    world = evicting()
    found: Incident = world.case.incident
    fresh = serving(has_operator=True)
    fresh.at = world.at + 1
    fresh.taken = {found.name: found}
    fresh.sick()
    assert (Rung.REPLACE_POD, StepOutcome.FAILED) in steps(fresh)
    assert fresh.case.open_step is not Rung.REPLACE_POD


def limited(times: int, restart: int = 1) -> WatchdogPolicy:
    budget = BudgetPolicy(max_per_replica=times)
    return WatchdogPolicy(remediation=RemediationPolicy(budget=budget, attempts=AttemptsPolicy(restart=restart)))


def cured_again(world: World) -> World:
    """A restart of an incident of its own, forgotten once the API server has it."""
    world.sick().grant().claimed().settle(engine=replace(NEW, container_id=f"c{world.at}", listener=int(world.at)))
    world.healthy()
    assert world.case.status.outcome is Outcome.RECOVERED
    world.replica = forget(world.replica, {case.name: case.revision for case in world.replica.cases})
    return world


def test_what_the_operator_would_refuse_for_ever_is_not_asked_for() -> None:
    """`AttemptsExhausted`: it counts the restarts of a replica over all its incidents."""
    world = serving(has_operator=True, policy=limited(2))
    cured_again(cured_again(world)).sick()
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.UNAVAILABLE)
    assert world.case.status.steps[-1].proof == (
        "2 restarts within the last hour, at most 2 are allowed for one replica"
    )
    assert world.case.status.requested_step is REPLACE


def test_after_an_hour_a_restart_is_asked_for_again() -> None:
    world = serving(has_operator=True, policy=limited(2))
    cured_again(cured_again(world)).healthy(3600.0).sick()
    assert world.case.status.requested_step is GrantableStep.RESTART
    assert world.replica.restarts == []


def test_attempts_of_the_same_incident_count_too() -> None:
    world = serving(has_operator=True, policy=limited(1, restart=2)).sick().grant().claimed().settle(engine=NEW).sick()
    assert steps(world)[-2:] == [(Rung.RESTART, StepOutcome.FAILED), (Rung.RESTART, StepOutcome.UNAVAILABLE)]
    assert world.case.status.requested_step is REPLACE


def test_a_request_that_waits_is_given_up_when_the_limit_falls() -> None:
    world = cured_again(serving(has_operator=True, policy=limited(2))).sick()
    assert world.case.status.requested_step is GrantableStep.RESTART
    world.settle(policy=limited(1))
    assert world.case.status.requested_step is REPLACE


def test_the_exception_to_asking_counts_too() -> None:
    world = cured_again(serving(has_operator=True, policy=limited(1)))
    world.at += 1000
    gone = world.now - timedelta(seconds=300)
    world.facts |= {"api_unreachable_since": gone, "gate": Gate(in_rotation=False, since=START)}
    before = len(world.orders)
    world.sick()
    assert len(world.orders) == before


def not_up_again(**facts: Any) -> World:
    """Restarted, and the engine that it brought does not come up. The watchdog is a new process too."""
    policy = WatchdogPolicy(remediation=RemediationPolicy(startup_timeout=Seconds(60)))
    world = ordered(has_operator=True, policy=policy, **facts)
    return world.settle(engine=NEW).unknown(UnknownReason.STARTING).look(61.0)


def test_an_engine_that_does_not_come_up_after_our_restart_is_given_up() -> None:
    world = not_up_again()
    assert steps(world)[-1] == (Rung.RESTART, StepOutcome.TIMED_OUT)
    world.grant(REPLACE)
    assert world.case.stage is Stage.AWAITING, "for now it is only unknown"
    world.sick(fault=FaultClass.ENGINE_DEAD, reason=FindingReason.START_TIMED_OUT).claimed()
    assert steps(world)[-1] == (Rung.REPLACE_POD, None)
    assert len(world.replica.cases) == 1, "it is the same incident"


def test_an_engine_that_ends_again_and_again_after_our_restart_is_given_up() -> None:
    world = not_up_again().grant(REPLACE)
    at = world.now - timedelta(seconds=1)
    ended = ContainerEnd(container_id=str(NEW.container_id), reason="Error", exit_code=1, at=at)
    world.settle(container=EngineContainer(waiting=CRASH_LOOP, ended=ended)).claimed()
    assert steps(world)[-1] == (Rung.REPLACE_POD, None)


def test_after_a_pause_it_is_asked_for_again_although_the_engine_never_came_up() -> None:
    world = not_up_again().settle(modes=PAUSED)
    assert world.case.stage is Stage.WATCHING
    world.sick(fault=FaultClass.ENGINE_DEAD, reason=FindingReason.START_TIMED_OUT).settle(modes=Modes())
    assert world.case.status.requested_step is REPLACE
