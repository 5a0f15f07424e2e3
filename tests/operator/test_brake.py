"""One cause, many replicas: who is the trial, what it proves, and what is held until it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llmworker_operator.domain.grants import GrantDecision, decide_grants
from llmworker_operator.domain.refusals import Refusal
from tests.operator.making import NOW, asking, at, grant, incident, replica, stamp, step, worker

if TYPE_CHECKING:
    from llmworker_operator.domain.record import IncidentView
    from llmworker_operator.domain.replica import Replica

DOWN = [replica(name, ready=False) for name in "abcd"]
LONG_AGO = -86_400


def decide(*incidents: Any, budget: Any = 4, replicas: Any = DOWN, now: float = 0, **brake: Any) -> GrantDecision:
    remediation = {"budget": {"maxUnavailable": budget, "maxPerHour": 50, "cooldown": "0s"}, "brake": brake}
    return decide_grants(
        policy=worker(watchdog={"remediation": remediation}).watchdog,
        incidents=incidents,
        replicas=replicas,
        wanted=len(replicas),
        now=at(now),
    )


def granted(decision: GrantDecision) -> list[str]:
    return [g.incident.pod_name for g in decision.granted]


def refused(decision: GrantDecision) -> dict[str, Refusal]:
    return {w.incident.removeprefix("incident-"): w.refusal for w in decision.waiting}


def quarantined(pod: str, name: str = "", *, detected: float = -60, began: float = -40, **fields: Any) -> IncidentView:
    tried = [step(began, outcome="Failed")]
    ended = {"phase": "Closed", "outcome": "Quarantined", "closedAt": stamp(-10), "steps": tried}
    return incident(pod, name, detected=detected, **{**ended, **fields})


def recovered(pod: str, name: str = "", *, detected: float = -60, began: float = -40, **fields: Any) -> IncidentView:
    tried = [step(began, outcome="Succeeded")]
    ended = {"phase": "Closed", "outcome": "Recovered", "closedAt": stamp(-10), "steps": tried}
    return incident(pod, name, detected=detected, **{**ended, **fields})


def serving(*names: str) -> list[Replica]:
    return [replica(name, ready=name in names) for name in "abcd"]


def test_half_of_the_replicas_is_a_common_cause_and_one_is_the_trial() -> None:
    decision = decide(asking("a", detected=-20), asking("b", detected=-30))
    assert granted(decision) == ["b"]
    assert refused(decision) == {"a": Refusal.TRIAL_UNDER_WAY}


@pytest.mark.parametrize(
    "incidents",
    [
        pytest.param([asking("a")], id="one of four"),
        pytest.param([asking("a"), asking("b", fault="EngineDead")], id="two with two faults"),
        pytest.param([asking("a", detected=-301), asking("b")], id="too far apart"),
        pytest.param([asking("a"), asking("a", "again")], id="two incidents of one replica"),
        pytest.param([asking("a"), incident("b", phase="Closed", outcome="SelfHealed")], id="one healed by itself"),
        pytest.param([asking("a"), incident("b", phase="Closed", outcome="Lost")], id="one is lost"),
        pytest.param([asking("a"), incident("gone")], id="of a pod that is gone"),
    ],
)
def test_no_common_cause(incidents: list[IncidentView]) -> None:
    decision = decide(*incidents)
    assert not decision.brakes
    assert {i.pod_name for i in incidents if i.awaiting} == set(granted(decision))


@pytest.mark.parametrize(
    ("brake", "faulty", "of", "on"),
    [
        pytest.param({}, 1, 1, False, id="one is never alike"),
        pytest.param({}, 1, 2, False, id="half, and not two"),
        pytest.param({}, 2, 3, True, id="two of three"),
        pytest.param({}, 2, 5, False, id="less than half"),
        pytest.param({}, 3, 5, True, id="more than half"),
        pytest.param({"share": "25%"}, 2, 8, True, id="another share"),
        pytest.param({"share": 3}, 2, 4, False, id="a number"),
        pytest.param({"share": 3}, 3, 40, True, id="a number of many"),
        pytest.param({"minReplicas": 4}, 3, 6, False, id="another least"),
        pytest.param({"window": "5s"}, 2, 2, False, id="another window"),
        pytest.param({"state": "Disabled"}, 4, 4, False, id="switched off"),
    ],
)
def test_what_is_settable(brake: dict[str, Any], faulty: int, of: int, on: bool) -> None:  # noqa: FBT001
    incidents = [asking(f"r{n}", detected=-10.0 * n) for n in range(faulty)]
    decision = decide(*incidents, budget=50, replicas=[replica(f"r{n}", ready=False) for n in range(of)], **brake)
    assert bool(decision.brakes) is on
    assert len(granted(decision)) == (1 if on else faulty)


def test_the_window_is_between_detections_and_not_until_now() -> None:
    """Both have waited for long."""
    decision = decide(asking("a", detected=LONG_AGO), asking("b", detected=LONG_AGO + 300))
    assert granted(decision) == ["a"]
    assert refused(decision) == {"b": Refusal.TRIAL_UNDER_WAY}


def test_a_pod_that_is_about_to_go_is_no_replica() -> None:
    going = [replica("a"), replica("b", terminating=True), replica("c"), replica("d")]
    assert not decide(asking("a"), asking("b"), replicas=going).brakes
    assert decide(asking("a"), asking("c"), replicas=going).brakes


@pytest.mark.parametrize(
    "trial",
    [
        pytest.param(asking("a", grant=grant(-5)), id="granted"),
        pytest.param(incident("a", phase="Acting", steps=[step(-5)]), id="acting"),
        pytest.param(incident("a", phase="Verifying", steps=[step(-50)]), id="verifying"),
        pytest.param(incident("a", phase="Verifying", steps=[step(-2000)]), id="a model that loads for long"),
        pytest.param(asking("a", grant=grant(-50)), id="not claimed, and not withdrawn yet"),
    ],
)
def test_while_the_trial_is_under_way_the_others_wait(trial: IncidentView) -> None:
    decision = decide(trial, asking("b"), asking("c"))
    assert not granted(decision)
    assert refused(decision).items() >= {"b": Refusal.TRIAL_UNDER_WAY, "c": Refusal.TRIAL_UNDER_WAY}.items()
    (brake,) = decision.brakes
    assert (brake.trial, brake.held) == (trial, False)
    assert "Incident incident-a of pod a is the trial, and under way" in brake.message


def test_a_restart_of_another_fault_waits_for_the_trial_too() -> None:
    other = incident("d", phase="Acting", fault="EngineDead", steps=[step(-5)])
    decision = decide(other, asking("a"), asking("b"))
    assert set(refused(decision).values()) == {Refusal.TRIAL_UNDER_WAY}
    assert "Incident incident-d of pod d is dealt with first" in decision.brakes[0].message
    decision = decide(incident("a", phase="Acting", steps=[step(-5)]), incident("b"), asking("d", fault="EngineDead"))
    assert refused(decision) == {"d": Refusal.TRIAL_UNDER_WAY}


def test_a_restart_that_nobody_ends_does_not_put_the_trial_off_for_ever() -> None:
    """It is of another fault, so that it proves nothing either way; the budget counts it still."""
    stuck = incident("d", phase="Acting", fault="EngineDead", detected=-3000, steps=[step(-2131)])
    assert granted(decide(stuck, asking("a"), asking("b"))) == ["a"]
    assert refused(decide(stuck, asking("a"), asking("b"), budget=1)) == dict.fromkeys("ab", Refusal.BUDGET_IN_USE)


def test_a_proven_trial_lets_the_others_follow_within_the_budget() -> None:
    decision = decide(recovered("a"), asking("b", detected=-50), asking("c"), asking("d"), budget=2)
    assert granted(decision) == ["b", "c"]
    assert refused(decision) == {"d": Refusal.BUDGET_IN_USE}
    assert not decision.brakes


@pytest.mark.parametrize(
    "trial",
    [
        pytest.param(quarantined("a"), id="quarantined"),
        pytest.param(incident("a", detected=-60, phase="Verifying", steps=[step(-40, outcome="Failed")]), id="failed"),
        pytest.param(
            incident("a", detected=-60, phase="Verifying", steps=[step(-40, outcome="TimedOut")]), id="timed out"
        ),
        pytest.param(
            incident(
                "a", detected=-60, phase="AwaitingGrant", requestedStep="Other", steps=[step(-40, outcome="Failed")]
            ),
            id="asks for more",
        ),
        pytest.param(asking("a", detected=-60, steps=[step(-40, outcome="Failed")]), id="asks for another restart"),
        pytest.param(
            incident("a", detected=-9000, phase="Acting", steps=[step(-2131)]), id="nobody is there who ends it"
        ),
    ],
)
def test_a_trial_that_proves_nothing_holds_the_others(trial: IncidentView) -> None:
    since = (trial.detected_at - NOW).total_seconds()
    decision = decide(trial, asking("b", detected=since + 10), asking("d", fault="EngineDead"))
    assert not granted(decision)
    assert refused(decision).items() >= {"b": Refusal.COMMON_CAUSE, "d": Refusal.COMMON_CAUSE}.items()
    (brake,) = decision.brakes
    assert (brake.trial, brake.held) == (trial, True)


def test_somebody_looks_when_a_trial_is_overdue() -> None:
    trial = incident("a", phase="Acting", steps=[step(-100)])
    assert decide(trial, incident("b")).recheck_at == at(-100 + 1800 + 30 + 300)


def test_what_holds_says_so_with_numbers() -> None:
    (brake,) = decide(quarantined("a"), asking("b")).brakes
    assert brake.message == (
        "2 of 4 replicas (a, b) have StalledStream, a common cause. The trial restart of pod a at 11:59:20 did not cure"
        " it (its incident incident-a was closed as Quarantined). Nothing more is restarted while it stands."
    )


def test_names_are_bounded() -> None:
    many = [replica(f"r{n:02}", ready=False) for n in range(40)]
    (brake,) = decide(*(incident(r.name) for r in many), replicas=many).brakes
    assert "40 of 40 replicas (r00, r01, r02, r03, r04 and 35 more)" in brake.message


def test_a_hold_leaves_alone_what_costs_nothing() -> None:
    """A replica that serves nothing may leave rotation; one that still talks stays, as its cure is held."""
    silent = asking("b", step="LeaveRotation", reason="NoFirstToken")
    talking = asking("c", step="LeaveRotation", reason="AdmissionStalled")
    decision = decide(quarantined("a"), silent, talking, replicas=serving("b", "c", "d"))
    assert granted(decision) == ["b"]
    assert refused(decision) == {"c": Refusal.COMMON_CAUSE}


def test_leaving_rotation_is_no_trial() -> None:
    leaves = asking("b", step="LeaveRotation", reason="AdmissionStalled")
    trial = incident("a", phase="Acting", steps=[step(-5)])
    assert granted(decide(trial, leaves, incident("c"), replicas=serving("b", "c", "d"))) == ["b"]


def test_a_quarantined_trial_holds_before_its_pod_says_so() -> None:
    """The incident's end and the pod's condition are two writes."""
    faulty = [replica("a", ready=False, rotation="Faulty"), *DOWN[1:]]
    assert refused(decide(quarantined("a"), asking("b"), replicas=faulty)) == {"b": Refusal.COMMON_CAUSE}


def test_recovery_ends_it() -> None:
    """Fewer than half are left, however they recovered."""
    assert granted(decide(quarantined("a"), asking("b"), replicas=serving("a", "c", "d"))) == ["b"]
    healed = incident("c", detected=-60, phase="Closed", outcome="SelfHealed")
    assert granted(decide(healed, asking("b"), replicas=serving("a", "c", "d"))) == ["b"]


def test_a_released_replica_that_serves_makes_room_for_another_trial() -> None:
    """Three others still have it. What was found out before a person looked at it does not hold for ever."""
    decision = decide(quarantined("a"), asking("b"), asking("c"), asking("d"), replicas=serving("a"))
    assert granted(decision) == ["b"]
    assert set(refused(decision).values()) == {Refusal.TRIAL_UNDER_WAY}


def test_a_lost_trial_has_shown_nothing() -> None:
    lost = incident("a", phase="Closed", outcome="Lost", steps=[step(-40)])
    others = [replica(name, ready=False) for name in "bcd"]
    decision = decide(lost, asking("b"), asking("c"), replicas=others)
    assert granted(decision) == ["b"]
    assert refused(decision) == {"c": Refusal.TRIAL_UNDER_WAY}


def test_a_fault_that_comes_back_has_not_been_cured() -> None:
    again = incident("a", "again", detected=-5)
    decision = decide(recovered("a"), again, asking("b", detected=-50), asking("c", detected=-50))
    assert granted(decision) == ["b"]
    assert refused(decision) == {"c": Refusal.TRIAL_UNDER_WAY}


def test_the_proof_of_an_earlier_time_is_none() -> None:
    decision = decide(recovered("d", detected=-4000, began=-3900), asking("a"), asking("b"))
    assert granted(decision) == ["a"]
    assert refused(decision) == {"b": Refusal.TRIAL_UNDER_WAY}


def test_an_old_quarantine_is_another_story() -> None:
    """Both were released, and something else is wrong with them today."""
    old = [quarantined(name, name, detected=LONG_AGO, began=LONG_AGO, closedAt=stamp(LONG_AGO + 60)) for name in "ab"]
    today = [asking("a", "x", fault="EngineDead"), asking("b", "y", fault="WakeFailed")]
    assert granted(decide(*old, *today)) == ["a", "b"]


def test_more_cured_than_not() -> None:
    """Each that follows is a trial too: the hold is back when more were restarted in vain than were cured."""
    asked = [asking("d")]
    replicas = [*DOWN, replica("e", ready=True)]
    one_each = [recovered("e"), quarantined("a")]
    assert granted(decide(*one_each, incident("b"), *asked, replicas=replicas)) == ["d"]
    assert refused(decide(*one_each, quarantined("b"), *asked, replicas=replicas)) == {"d": Refusal.COMMON_CAUSE}


def test_the_restart_may_stand_in_another_incident_of_the_replica() -> None:
    """Of several open incidents of a replica only one climbs, and a quarantine ends them together."""
    led = quarantined("a", "lead", fault="EngineDead")
    along = incident("a", detected=-60, phase="Closed", outcome="Quarantined", closedAt=stamp(-10))
    assert refused(decide(led, along, asking("b"))) == {"b": Refusal.COMMON_CAUSE}
    cured = recovered("a", "lead", fault="EngineDead")
    along = incident("a", detected=-60, phase="Closed", outcome="SelfHealed", closedAt=stamp(-10))
    assert granted(decide(cured, along, asking("b"), asking("c"))) == ["b", "c"]


def test_a_fault_that_was_over_before_a_restart_was_not_cured_by_it() -> None:
    healed = incident("a", detected=-60, phase="Closed", outcome="SelfHealed", closedAt=stamp(-50))
    other = recovered("a", "other", fault="EngineDead")
    assert granted(decide(healed, other, asking("b"), asking("c"))) == ["b"]


def test_a_restart_before_the_fault_was_no_trial_of_it() -> None:
    before = quarantined("a", "before", fault="EngineDead", began=-500)
    along = incident("a", detected=-60, phase="Closed", outcome="Quarantined", closedAt=stamp(-10))
    assert granted(decide(before, along, asking("b"))) == ["b"]
    cured = recovered("a", "before", fault="EngineDead", began=-500)
    along = incident("a", detected=-60, phase="Closed", outcome="SelfHealed", closedAt=stamp(-10))
    assert granted(decide(cured, along, asking("b"), asking("c"))) == ["b"]


def test_quarantined_without_a_restart_is_no_trial() -> None:
    """There was no way to restart it, for example."""
    untried = quarantined("a", steps=[step(-40, outcome="Unavailable")])
    assert granted(decide(untried, asking("b"))) == ["b"]


def test_steps_of_observe_are_no_trial() -> None:
    described = incident("a", mode="Observe", steps=[step(-40, outcome="DryRun")])
    assert granted(decide(described, asking("b"))) == ["b"]


def test_nothing_is_in_common_where_there_is_nothing() -> None:
    assert decide() == GrantDecision()
    assert decide(asking("a"), asking("b"), replicas=[]) == GrantDecision()
