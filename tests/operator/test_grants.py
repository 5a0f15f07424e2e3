"""Who gets a grant, who waits and why: one row per rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from llm_watchdog.api.reasons import REASONS, FaultClass, FindingReason, Mode
from llmworker_operator.domain.grants import GrantDecision, decide_grants, effective_mode, holders
from llmworker_operator.domain.refusals import SERVES_NOTHING, Refusal
from tests.operator.making import NOW, asking, at, grant, incident, replica, step, worker

if TYPE_CHECKING:
    from llm_watchdog.api.policy import WatchdogPolicy

ABC = [replica("a"), replica("b"), replica("c")]


def policy(**budget: Any) -> WatchdogPolicy:
    """Without the brake, which has tests of its own."""
    return worker(watchdog={"remediation": {"budget": budget, "brake": {"state": "Disabled"}}}).watchdog


def decide(*incidents: Any, budget: dict[str, Any] | None = None, **overrides: Any) -> GrantDecision:
    settings: dict[str, Any] = {
        "policy": policy(**(budget or {})),
        "incidents": incidents,
        "replicas": ABC,
        "wanted": 3,
        "now": NOW,
    }
    return decide_grants(**{**settings, **overrides})


def granted(decision: GrantDecision) -> list[str]:
    return [g.incident.pod_name for g in decision.granted]


def refusals(decision: GrantDecision) -> list[Refusal]:
    return [w.refusal for w in decision.waiting]


def test_a_request_is_granted_for_thirty_seconds() -> None:
    (given,) = decide(asking("a")).granted
    assert given.grant.step == "Restart"
    assert (given.grant.granted_at, given.grant.expires_at) == (NOW, at(30))


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(incident("b", phase="Acting"), id="acting"),
        pytest.param(incident("b", phase="Verifying"), id="verifying"),
        pytest.param(incident("b", phase="Pondering"), id="a phase of a newer watchdog"),
        pytest.param(incident("b", phase="Open", steps=[step(-600)]), id="restarted and not closed"),
        pytest.param(asking("b", grant=grant(-5)), id="granted and not claimed"),
        pytest.param(asking("b", grant=grant(-50)), id="expired and not withdrawn"),
        pytest.param(asking("b", grant=grant(-50, step="LeaveRotation")), id="out of rotation by grant"),
        pytest.param(incident("gone", phase="Acting"), id="of a pod that the cache does not know"),
    ],
)
def test_a_holder_uses_the_budget_up(holder: Any) -> None:
    decision = decide(asking("a"), holder)
    assert "a" not in granted(decision)
    assert Refusal.BUDGET_IN_USE in refusals(decision)


@pytest.mark.parametrize(
    "free",
    [
        pytest.param(incident("b", phase="Closed", outcome="Recovered", steps=[step(-600)]), id="closed"),
        pytest.param(incident("b"), id="open"),
        pytest.param(incident("b", phase="Open", steps=[step(-60, outcome="DryRun")]), id="dry run"),
        pytest.param(incident("b", phase="Open", steps=[step(-60, outcome="Unavailable")]), id="not possible"),
        pytest.param(incident("b", phase="Closed", outcome="Lost", grant=grant(-5)), id="lost with its grant"),
    ],
)
def test_others_leave_the_budget_alone(free: Any) -> None:
    assert granted(decide(asking("a"), free)) == ["a"]


def test_one_at_a_time_then_the_next() -> None:
    first = decide(asking("a", detected=-5), asking("b", detected=-9), asking("c", detected=-7))
    assert granted(first) == ["b"]
    assert refusals(first) == [Refusal.BUDGET_IN_USE] * 2


def test_the_budget_may_be_larger() -> None:
    assert granted(decide(asking("a"), asking("b"), asking("c"), budget={"maxUnavailable": 2})) == ["a", "b"]


@pytest.mark.parametrize(("share", "wanted", "expected"), [("25%", 3, 1), ("67%", 3, 2), ("100%", 3, 2), ("25%", 8, 2)])
def test_the_budget_may_be_a_share_of_what_is_wanted(share: str, wanted: int, expected: int) -> None:
    asked = [asking("a"), asking("b"), asking("c")]
    assert len(granted(decide(*asked, budget={"maxUnavailable": share}, wanted=wanted))) == expected


def test_who_serves_nothing_goes_first() -> None:
    slow = asking("a", detected=-100, step="LeaveRotation", reason="AdmissionStalled")
    partly = asking("b", detected=-50, reason="AdmissionStalled")
    silent = asking("c", detected=-1, reason="HealthFailing")
    assert granted(decide(slow, partly, silent)) == ["c"]


TALKING = {
    FaultClass.CROSS_TALK,
    FaultClass.DEGRADED_OUTPUT,
    FaultClass.RUNAWAY_GENERATION,
    FaultClass.INCOMPLETE_STREAM,
}
SERVES_SOMETHING = {
    *(reason for fault in TALKING for reason in REASONS[fault]),
    FindingReason.ADMISSION_STALLED,
    FindingReason.FIRST_TOKEN_SLOWING,
    FindingReason.USER_STREAM_STALLED,
    FindingReason.UPSTREAM_FAILED,
    FindingReason.SLOTS_WITHOUT_PROGRESS,
    FindingReason.RUNNING_WITHOUT_CLIENTS,
    FindingReason.CACHE_HELD_WHILE_IDLE,
    FindingReason.SLOTS_NOT_RETURNED,
}


def test_every_reason_is_sorted_into_serving_or_not() -> None:
    assert set(FindingReason) == SERVES_NOTHING | SERVES_SOMETHING
    assert not SERVES_NOTHING & SERVES_SOMETHING


def test_every_fault_class_has_a_mode() -> None:
    for fault in FaultClass:
        assert effective_mode(policy(), fault) is Mode.ENFORCE
    assert effective_mode(policy(), "OfALaterVersion") is Mode.OBSERVE


def test_nothing_is_granted_to_a_pod_that_is_gone() -> None:
    assert not decide(asking("gone")).granted


@pytest.mark.parametrize(
    "watchdog",
    [{"mode": "Observe"}, {"detectors": {"stalledStream": {"mode": "Observe"}}}],
    ids=["worker", "class"],
)
def test_observe_is_granted_nothing(watchdog: dict[str, Any]) -> None:
    assert refusals(decide(asking("a"), policy=worker(watchdog=watchdog).watchdog)) == [Refusal.OBSERVE_ONLY]


def test_an_incident_that_was_opened_in_observe_mode_is_granted_nothing() -> None:
    assert refusals(decide(asking("a", mode="Observe"))) == [Refusal.OBSERVE_ONLY]


def test_nothing_is_granted_while_it_is_switched_off_or_paused() -> None:
    off = worker(watchdog={"detectors": {"stalledStream": {"mode": "Off"}}}).watchdog
    assert refusals(decide(asking("a"), policy=off)) == [Refusal.OBSERVE_ONLY]
    paused = worker(watchdog={"paused": {"reason": "new drivers"}}).watchdog
    (waiting,) = decide(asking("a"), policy=paused).waiting
    assert (waiting.refusal, waiting.message) == (Refusal.PAUSED, "paused: new drivers")


def test_nothing_is_granted_without_the_admission_policies() -> None:
    assert refusals(decide(asking("a"), rights=False)) == [Refusal.RIGHTS_WITHDRAWN]


def test_a_step_of_a_newer_watchdog_is_not_granted() -> None:
    assert refusals(decide(asking("a", step="Reincarnate"))) == [Refusal.NO_STEP]


@pytest.mark.parametrize(("ago", "expected"), [(59, [Refusal.COOLDOWN]), (60, [])])
def test_cool_down_per_replica(ago: float, expected: list[Refusal]) -> None:
    decision = decide(asking("a", steps=[step(-ago, outcome="Failed")]))
    assert refusals(decision) == expected
    assert decision.recheck_at == (at(60 - ago) if expected else at(30))


def test_cool_down_counts_the_restart_of_an_earlier_incident() -> None:
    earlier = incident("a", "earlier", phase="Closed", outcome="Recovered", steps=[step(-10)])
    assert refusals(decide(asking("a"), earlier)) == [Refusal.COOLDOWN]
    assert granted(decide(asking("b"), earlier)) == ["b"]


def test_hourly_limit_frees_itself() -> None:
    past = [
        incident("b", f"past{n}", phase="Closed", outcome="Recovered", steps=[step(-ago)])
        for n, ago in enumerate((3500, 3000, 2000, 1000))
    ]
    decision = decide(asking("a"), *past)
    assert refusals(decision) == [Refusal.HOURLY_LIMIT]
    assert decision.recheck_at == at(100)
    assert granted(decide(asking("a"), *past, now=at(101))) == ["a"]


def restarted(pod: str, *ago: float) -> list[Any]:
    """Each in an incident of its own, and cured."""
    return [
        incident(pod, f"{pod}{seconds}", phase="Closed", outcome="Recovered", steps=[step(-seconds)]) for seconds in ago
    ]


def test_a_replica_that_was_restarted_often_enough_is_not_restarted_for_ever() -> None:
    """A fault that comes back after each restart would fit into the hourly limit until the end of time."""
    decision = decide(asking("a"), asking("b"), *restarted("a", 3000, 2000, 1000), budget={"maxPerHour": 40})
    assert granted(decision) == ["b"]
    (waiting,) = decision.waiting
    assert waiting.refusal is Refusal.ATTEMPTS_EXHAUSTED
    assert waiting.message == (
        "a was restarted 3 times in the last hour, at most 3 are allowed for one replica: a restart does not cure its"
        " StalledStream"
    )
    assert waiting.until == at(600)
    assert decision.recheck_at == at(30)


@pytest.mark.parametrize(
    ("past", "budget", "expected"),
    [
        pytest.param([3000, 2000], {}, [], id="twice"),
        pytest.param([3600, 2000, 1000], {}, [], id="not within the hour"),
        pytest.param([3000, 2000], {"maxPerReplica": 2}, [Refusal.ATTEMPTS_EXHAUSTED], id="another limit"),
        pytest.param([3000, 2500, 2000, 1000], {"maxPerReplica": 5}, [], id="a higher one"),
    ],
)
def test_how_often_is_enough(past: list[float], budget: dict[str, Any], expected: list[Refusal]) -> None:
    assert refusals(decide(asking("a"), *restarted("a", *past), budget={"maxPerHour": 40, **budget})) == expected


def test_attempts_of_one_incident_count_too() -> None:
    tried = asking("a", steps=[step(-ago, outcome="Failed") for ago in (900, 600, 300)])
    assert refusals(decide(tried, budget={"maxPerHour": 40})) == [Refusal.ATTEMPTS_EXHAUSTED]


def test_leaving_rotation_is_no_attempt() -> None:
    leaves = asking("a", step="LeaveRotation")
    assert granted(decide(leaves, *restarted("a", 3000, 2000, 1000), budget={"maxPerHour": 40})) == ["a"]


def test_an_empty_list_is_nobody_and_not_everybody() -> None:
    assert decide() == GrantDecision()
    assert decide(asking("a"), asking("b", step="LeaveRotation"), replicas=[]) == GrantDecision()
    leaves = asking("a", step="LeaveRotation")
    assert refusals(decide(leaves, replicas=[replica("a")])) == [Refusal.LAST_IN_ROTATION]


@given(st.permutations(range(6)), st.integers(1, 3))
def test_the_order_in_which_incidents_are_known_changes_nothing(order: list[int], allowed: int) -> None:
    several = [
        asking("a", "partly", detected=-90, reason="AdmissionStalled"),
        asking("a", "silent", detected=-10),
        asking("b", "leaves", detected=-95, step="LeaveRotation"),
        asking("b", "restarts", detected=-20, fault="EngineDead", reason="HealthFailing"),
        asking("c", "same", detected=-20, fault="WakeFailed", reason="WakeError"),
        asking("c", "z", detected=-20),
    ]
    decision = decide(*(several[n] for n in order), budget={"maxUnavailable": allowed})
    assert [g.incident.name for g in decision.granted] == ["restarts", "same", "silent"][:allowed]


def test_hourly_limit_counts_what_is_granted_in_the_same_pass() -> None:
    decision = decide(asking("a"), asking("b"), budget={"maxUnavailable": 3, "maxPerHour": 1})
    assert granted(decision) == ["a"]
    assert refusals(decision) == [Refusal.HOURLY_LIMIT]


def test_leaving_rotation_is_not_counted_by_the_hour() -> None:
    past = [incident("b", f"past{n}", phase="Closed", outcome="Recovered", steps=[step(-1000)]) for n in range(4)]
    assert granted(decide(asking("a", step="LeaveRotation"), *past)) == ["a"]


def test_the_last_replica_in_rotation_leaves_it_on_proof_and_on_no_suspicion() -> None:
    others = [replica("a"), replica("b", ready=False), replica("c", terminating=True)]
    for verdict in ("Suspect", None):
        asks = asking("a", step="LeaveRotation", verdict=verdict)
        assert refusals(decide(asks, replicas=others)) == [Refusal.LAST_IN_ROTATION]
    assert granted(decide(asking("a", step="LeaveRotation", verdict="Faulty"), replicas=others)) == ["a"]
    assert granted(decide(asking("a"), replicas=others)) == ["a"]


def test_two_may_not_leave_rotation_in_one_pass_if_they_are_the_last_two() -> None:
    two = [replica("a"), replica("b")]
    asked = [asking("a", step="LeaveRotation"), asking("b", step="LeaveRotation")]
    decision = decide(*asked, replicas=two, budget={"maxUnavailable": 2})
    assert granted(decision) == ["a"]
    assert refusals(decision) == [Refusal.LAST_IN_ROTATION]


def test_two_incidents_of_one_replica_get_one_restart() -> None:
    decision = decide(asking("a", "one", detected=-2), asking("a", "two", detected=-1), budget={"maxUnavailable": 3})
    assert [g.incident.name for g in decision.granted] == ["one"]
    assert refusals(decision) == [Refusal.REPLICA_BUSY]


def test_two_incidents_of_one_replica_do_not_block_each_other_for_good() -> None:
    """Both have been through a restart, and both ask again."""
    tried: dict[str, Any] = {"steps": [step(-300, outcome="Failed")]}
    decision = decide(asking("a", "one", **tried), asking("a", "two", **tried))
    assert [g.incident.name for g in decision.granted] == ["one"]


def test_a_restart_is_granted_over_the_permission_to_leave_rotation() -> None:
    assert granted(decide(asking("a", grant=grant(-5, step="LeaveRotation")))) == ["a"]


def test_what_nobody_claims_is_withdrawn_and_granted_anew_later() -> None:
    expired = decide(asking("a", grant=grant(-30)))
    assert [i.pod_name for i in expired.withdrawn] == ["a"]
    assert not expired.granted
    assert not decide(asking("a", grant=grant(-29))).withdrawn


def test_who_let_a_grant_run_out_stands_behind_all_others() -> None:
    """Its watchdog crashes again and again, or what it sees allows no step any more."""
    first, second = asking("a", detected=-90), asking("b", detected=-10)
    assert granted(decide(first, second)) == ["a"]
    assert granted(decide(first, second, unclaimed={first.name: at(-1)})) == ["b"]
    both = {first.name: at(-1), second.name: at(-31)}
    assert granted(decide(first, second, unclaimed=both)) == ["b"]
    assert granted(decide(first, unclaimed=both)) == ["a"]


def test_a_used_permission_is_taken_away_before_it_can_be_used_again() -> None:
    used = incident("a", phase="Verifying", steps=[step(-4)], grant=grant(-5))
    assert [i.pod_name for i in decide(used).withdrawn] == ["a"]


def test_a_claimed_grant_is_not_withdrawn_by_the_clock() -> None:
    assert not decide(incident("a", phase="Acting", grant=grant(-500))).withdrawn


def test_a_permission_that_was_given_up_is_taken_back() -> None:
    assert decide(incident("a", phase="Open", grant=grant(-1))).withdrawn


def test_looks_again_when_a_grant_runs_out() -> None:
    assert decide(asking("a", grant=grant(-10))).recheck_at == at(20)


def test_holders_are_replicas_not_incidents() -> None:
    assert holders([incident("a", "one", phase="Acting"), incident("a", "two", phase="Acting")]) == {"uid-a"}
