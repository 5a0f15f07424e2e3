"""Whose pod is evicted, and when another one has taken its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.api.reasons import Outcome, StepOutcome
from llmworker_operator.domain.grants import decide_grants, holders
from llmworker_operator.domain.refusals import Refusal
from llmworker_operator.domain.replacement import (
    Replaced,
    being_stopped,
    judge_replacement,
    patience,
    successors,
    to_evict,
)
from llmworker_operator.reconcile.incidents import ended_by_replacement
from tests.operator.making import NOW, asking, at, grant, incident, replica, stamp, step, worker

if TYPE_CHECKING:
    from llm_watchdog.api.policy import WatchdogPolicy
    from llmworker_operator.domain.record import IncidentView

POLICY = worker().watchdog
ORDER = step(-10, name="ReplacePod")
OUT = replica("a", ready=False)


def ordered(pod: str = "a", name: str = "", *, began: float = -10, **fields: Any) -> IncidentView:
    given: dict[str, Any] = {"phase": "Acting", "grant": grant(began - 2, step="ReplacePod")}
    return incident(pod, name, **{**given, "steps": [step(began, name="ReplacePod")], **fields})


def evicted(*incidents: IncidentView, replicas: list[Any] | None = None, policy: WatchdogPolicy = POLICY) -> list[str]:
    return [r.name for _, r in to_evict(policy, incidents, [OUT, replica("b")] if replicas is None else replicas)]


def test_a_granted_and_claimed_order_is_carried_out() -> None:
    assert evicted(ordered()) == ["a"]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(ordered(phase="Open"), id="taken back"),
        pytest.param(ordered(phase="AwaitingGrant"), id="not claimed"),
        pytest.param(ordered(phase="Closed", outcome="SelfHealed"), id="closed"),
        pytest.param(ordered(grant=None), id="without a grant: its own word is not enough"),
        pytest.param(ordered(grant=grant(-12)), id="the grant is for a restart"),
        pytest.param(ordered(steps=[]), id="claimed, and not ordered yet"),
        pytest.param(ordered(steps=[step(-10, name="ReplacePod", outcome="TimedOut")]), id="given up"),
        pytest.param(ordered(steps=[ORDER, step(-1, name="Quarantine")]), id="a later step"),
        pytest.param(ordered(mode="Observe"), id="observed"),
    ],
)
def test_nothing_else_is(record: IncidentView) -> None:
    assert evicted(record) == []


@pytest.mark.parametrize(
    "watchdog", [{"mode": "Observe"}, {"detectors": {"stalledStream": {"mode": "Off"}}}, {"paused": {"reason": "x"}}]
)
def test_nothing_is_evicted_while_it_is_held(watchdog: dict[str, Any]) -> None:
    assert evicted(ordered(), policy=worker(watchdog=watchdog).watchdog) == []


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param([], id="an empty list is nobody"),
        pytest.param([replica("a")], id="in rotation"),
        pytest.param([replica("a", ready=False, terminating=True)], id="on its way"),
        pytest.param([replica("a", ready=False, uid="another")], id="another pod of that name"),
    ],
)
def test_only_a_pod_that_is_there_and_out_of_rotation(pods: list[Any]) -> None:
    assert evicted(ordered(), replicas=pods) == []


def judged(*incidents: IncidentView, replicas: list[Any], wanted: int = 2, now: Any = NOW) -> Replaced | None:
    return judge_replacement(
        incidents[0],
        policy=POLICY.remediation,
        incidents=incidents,
        replicas=replicas,
        wanted=wanted,
        now=now,
    )


OLD = replica("b", created_at=at(-9000))


def test_a_newer_pod_in_rotation_proves_it() -> None:
    ended = judged(ordered(), replicas=[OLD, replica("c", created_at=at(-8), node="n2")])
    assert ended == Replaced(
        outcome=Outcome.RECOVERED,
        step=StepOutcome.SUCCEEDED,
        proof="pod c on node n2 took its place and is in rotation, 10 s after the order",
    )


@pytest.mark.parametrize(
    ("pods", "wanted"),
    [
        pytest.param([], 2, id="an empty list proves nothing"),
        pytest.param([], 0, id="nor does it where none are wanted"),
        pytest.param([OLD], 2, id="none yet"),
        pytest.param([OLD, replica("c", created_at=at(-8), ready=False)], 2, id="not in rotation yet"),
        pytest.param([OLD, replica("c", created_at=at(-8), terminating=True)], 2, id="on its way out"),
        pytest.param([OLD, replica("c", created_at=at(-16))], 2, id="it was there before"),
        pytest.param([OLD, replica("c")], 2, id="nobody knows since when it is there"),
        pytest.param([OLD, replica("c", created_at=at(-8))], 3, id="fewer than are wanted"),
        pytest.param([OLD, replica("a", created_at=at(-8))], 2, id="the pod itself"),
    ],
)
def test_what_proves_nothing(pods: list[Any], wanted: int) -> None:
    assert judged(ordered(), replicas=pods, wanted=wanted) is None


def test_what_never_comes_is_lost() -> None:
    limit = patience(POLICY.remediation)
    assert limit.total_seconds() == 1800 + 30 + 300
    assert judged(ordered(began=0), replicas=[OLD], now=NOW + limit - (at(1) - at(0))) is None
    ended = judged(ordered(began=0), replicas=[OLD], now=NOW + limit)
    assert ended is not None
    assert (ended.outcome, ended.step) == (Outcome.LOST, StepOutcome.TIMED_OUT)
    assert ended.proof == "no pod that took its place was in rotation within 2130 s"


def test_a_pod_that_cannot_end_is_known() -> None:
    stuck = replica("a", ready=False, terminating=True)
    assert [i.name for i, _ in being_stopped([ordered(), incident("b")], [stuck, replica("b", terminating=True)])] == [
        "incident-a"
    ]
    assert being_stopped([ordered()], [OUT]) == []
    assert being_stopped([ordered()], []) == []


def test_one_pod_takes_one_place() -> None:
    both = [ordered("a", "one", began=-20), ordered("b", "two", began=-15)]
    assert len(successors(both, [replica("c", created_at=at(-10))])) == 1
    pods = [replica("d", created_at=at(-5)), replica("c", created_at=at(-10))]
    assert {name: pod.name for name, pod in successors(both, pods).items()} == {"one": "c", "two": "d"}


def test_the_youngest_has_to_be_in_rotation_not_one_that_was_there_a_moment_before() -> None:
    """The clocks of a node and of the API server may differ, so the order's time alone does not tell them apart."""
    young = replica("b", created_at=at(-12))
    starting = replica("c", created_at=at(-8), ready=False)
    assert judged(ordered(), replicas=[young, starting]) is None
    ended = judged(ordered(), replicas=[young, replica("c", created_at=at(-8))])
    assert ended is not None
    assert ended.proof.startswith("pod c ")


def test_a_pod_that_proved_one_does_not_prove_the_next() -> None:
    done = [step(-15, name="ReplacePod", outcome="Succeeded")]
    through = incident("b", "two", phase="Closed", outcome="Recovered", closedAt=stamp(-5), steps=done)
    taken = replica("d", created_at=at(-10))
    assert judged(ordered("a", "one", began=-20), through, replicas=[OLD, taken]) is None
    assert judged(ordered("a", "one", began=-20), through, replicas=[taken, replica("c", created_at=at(-12))])


def test_an_order_that_is_through_takes_none_that_came_later() -> None:
    done = [step(-900, name="ReplacePod", outcome="Succeeded")]
    first = incident("a", "one", phase="Closed", outcome="Recovered", closedAt=stamp(-800), steps=done)
    assert judged(ordered("c", "two"), first, replicas=[OLD, replica("d", created_at=at(-8))]) is not None


def test_what_is_entered_in_the_record() -> None:
    record = ordered(detected=-60, message="Silent.", steps=[step(-50, outcome="Failed"), ORDER])
    proof = "pod c on node n2 took its place and is in rotation, 10 s after the order"
    ended = Replaced(outcome=Outcome.RECOVERED, step=StepOutcome.SUCCEEDED, proof=proof)
    assert ended_by_replacement(record, ended, NOW) == {
        "/metadata/resourceVersion": "1",
        "/status/phase": "Closed",
        "/status/outcome": "Recovered",
        "/status/message": f"Silent. Recovered by ReplacePod: {proof}.",
        "/status/closedAt": stamp(0),
        "/status/steps/1/finishedAt": stamp(0),
        "/status/steps/1/outcome": "Succeeded",
        "/status/steps/1/proof": proof,
        "/status/timeToRecoverSeconds": 60.0,
    }
    lost = Replaced(outcome=Outcome.LOST, step=StepOutcome.TIMED_OUT, proof="none came")
    assert "/status/timeToRecoverSeconds" not in ended_by_replacement(record, lost, NOW)


def decide(*incidents: IncidentView, watchdog: dict[str, Any] | None = None) -> Any:
    policy = worker(watchdog={"remediation": {"brake": {"state": "Disabled"}, **(watchdog or {})}}).watchdog
    pods = [replica("a", ready=False), replica("b"), replica("c")]
    return decide_grants(policy=policy, incidents=incidents, replicas=pods, wanted=3, now=NOW)


def test_it_is_granted_like_a_restart() -> None:
    (granting,) = decide(asking("a", step="ReplacePod")).granted
    assert granting.grant.step == "ReplacePod"


def test_a_replica_that_is_being_replaced_holds_the_budget_after_its_pod_is_gone() -> None:
    assert holders([ordered("gone")]) == {"uid-gone"}
    (waiting,) = decide(asking("a"), ordered("gone")).waiting
    assert waiting.refusal is Refusal.BUDGET_IN_USE


def test_it_is_counted_by_the_hour_and_cools_down() -> None:
    past = incident("b", phase="Closed", outcome="Recovered", steps=[step(-900, name="ReplacePod")])
    (waiting,) = decide(asking("a"), past, watchdog={"budget": {"maxPerHour": 1}}).waiting
    assert waiting.refusal is Refusal.HOURLY_LIMIT
    restarted = asking("a", step="ReplacePod", steps=[step(-59, outcome="Failed")])
    (waiting,) = decide(restarted).waiting
    assert waiting.refusal is Refusal.COOLDOWN


def test_the_limit_of_restarts_leaves_it_alone() -> None:
    tried = asking("a", step="ReplacePod", steps=[step(-ago, outcome="Failed") for ago in (900, 600, 300)])
    assert [g.incident.pod_name for g in decide(tried, watchdog={"budget": {"maxPerHour": 40}}).granted] == ["a"]


def test_it_waits_for_the_trial_of_a_common_cause() -> None:
    policy = worker(watchdog={"remediation": {"budget": {"maxUnavailable": 2}}}).watchdog
    asked = [asking("a", step="ReplacePod", detected=-5), asking("b", step="ReplacePod")]
    pods = [replica("a", ready=False), replica("b", ready=False)]
    decision = decide_grants(policy=policy, incidents=asked, replicas=pods, wanted=2, now=NOW)
    assert [g.incident.pod_name for g in decision.granted] == ["a"]
    assert [w.refusal for w in decision.waiting] == [Refusal.TRIAL_UNDER_WAY]
