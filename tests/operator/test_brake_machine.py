"""Tries to break the brake: faults of two classes, restarts that cure and do not, people and pods that come and go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llmworker_operator.domain.grants import decide_grants
from llmworker_operator.domain.record import GrantView, IncidentView, StepView
from llmworker_operator.domain.refusals import Refusal
from tests.operator.making import at, incident, replica, worker

if TYPE_CHECKING:
    from llmworker_operator.domain.grants import GrantDecision
    from llmworker_operator.domain.replica import Replica

pytestmark = pytest.mark.thorough

FAULTS = ("StalledStream", "EngineDead")
PLACES = ("a", "b", "c", "d")
WINDOW, PATIENCE = timedelta(seconds=300), timedelta(seconds=1800 + 30 + 300)
BRAKES = {Refusal.COMMON_CAUSE, Refusal.TRIAL_UNDER_WAY}


class Brake(RuleBasedStateMachine):
    """`pods` has the pod that is at each place now. What a rule calls cured or not, the operator has to find out."""

    @initialize(allowed=st.integers(1, 4))
    def start(self, allowed: int) -> None:
        budget = {"maxUnavailable": allowed, "maxPerHour": 1000, "maxPerReplica": 1000, "cooldown": "0s"}
        self.policy = worker(watchdog={"remediation": {"budget": budget}}).watchdog
        self.allowed = allowed
        self.clock = 0.0
        self.numbers = count(1)
        self.pods: dict[str, Replica] = {place: replica(f"{place}0") for place in PLACES}
        self.records: dict[str, IncidentView] = {}

    def write(self, record: IncidentView, **changes: Any) -> None:
        self.records[record.name] = replace(record, resource_version=str(next(self.numbers)), **changes)

    def open(self, uid: str) -> list[IncidentView]:
        return [r for r in self.records.values() if r.pod_uid == uid and not r.closed]

    def set_ready(self, uid: str, *, ready: bool) -> None:
        for place, pod in self.pods.items():
            if pod.uid == uid:
                self.pods[place] = replace(pod, ready=ready)

    @rule(seconds=st.sampled_from([1, 40, 301]))
    def time_passes(self, seconds: float) -> None:
        self.clock += seconds

    @rule(
        place=st.sampled_from(PLACES), fault=st.sampled_from(FAULTS), step=st.sampled_from(["Restart", "LeaveRotation"])
    )
    def a_fault_is_found(self, place: str, fault: str, step: str) -> None:
        pod = self.pods[place]
        if self.open(pod.uid) or self._held(pod):
            return
        name = f"{pod.name}-{next(self.numbers)}"
        made = incident(pod.name, name, detected=self.clock, fault=fault, phase="AwaitingGrant", requestedStep=step)
        self.write(made)
        self.set_ready(pod.uid, ready=False)

    @rule(fault=st.sampled_from(FAULTS))
    def all_have_it(self, fault: str) -> None:
        for place in PLACES:
            self.a_fault_is_found(place, fault, "Restart")

    def decide(self) -> GrantDecision:
        return decide_grants(
            policy=self.policy,
            incidents=list(self.records.values()),
            replicas=list(self.pods.values()),
            wanted=len(PLACES),
            now=at(self.clock),
        )

    @rule(writes=st.integers(0, 4))
    def the_operator_passes(self, writes: int) -> None:
        """And may die after any write."""
        decision = self.decide()
        self.check(decision)
        for record in decision.withdrawn[:writes]:
            self.write(record, grant=None)
        for granting in decision.granted[:writes]:
            given = granting.grant
            view = GrantView(step=given.step.value, granted_at=given.granted_at, expires_at=given.expires_at)
            self.write(granting.incident, grant=view)

    @precondition(lambda self: any(r.outstanding for r in self.records.values()))
    @rule(data=st.data())
    def a_watchdog_claims(self, data: st.DataObject) -> None:
        record = data.draw(st.sampled_from([r for r in self.records.values() if r.outstanding]))
        if record.restart_requested:
            steps = (*record.steps, StepView(step="Restart", started_at=at(self.clock)))
            self.write(record, phase="Acting", steps=steps, grant=None)
        else:
            self.write(record, phase="AwaitingGrant", requested_step="Restart", grant=None)

    @precondition(lambda self: any(r.begun and not r.closed for r in self.records.values()))
    @rule(data=st.data(), outcome=st.sampled_from(["Recovered", "Recovered", "Quarantined", "Failed"]))
    def a_restart_ends(self, data: st.DataObject, outcome: str) -> None:
        record = data.draw(st.sampled_from([r for r in self.records.values() if r.begun and not r.closed]))
        self.clock += 1
        if outcome == "Failed":
            steps = (*record.steps[:-1], replace(record.steps[-1], outcome="Failed"))
            self.write(record, phase="Verifying", steps=steps)
            return
        self.write(record, phase="Closed", outcome=outcome, closed_at=at(self.clock))
        self.set_ready(record.pod_uid, ready=outcome == "Recovered")

    @precondition(lambda self: any(r.awaiting for r in self.records.values()))
    @rule(data=st.data())
    def one_heals_by_itself(self, data: st.DataObject) -> None:
        record = data.draw(st.sampled_from([r for r in self.records.values() if r.awaiting]))
        self.write(record, phase="Closed", outcome="SelfHealed", closed_at=at(self.clock))
        self.set_ready(record.pod_uid, ready=True)

    @rule(place=st.sampled_from(PLACES))
    def a_person_releases(self, place: str) -> None:
        if self._held(self.pods[place]):
            self.set_ready(self.pods[place].uid, ready=True)

    @rule(place=st.sampled_from(PLACES))
    def a_pod_is_replaced(self, place: str) -> None:
        for record in self.open(self.pods[place].uid):
            self.write(record, phase="Closed", outcome="Lost", closed_at=at(self.clock))
        self.pods[place] = replica(f"{place}{next(self.numbers)}")

    def _held(self, pod: Replica) -> bool:
        """In quarantine."""
        mine = [r for r in self.records.values() if r.pod_uid == pod.uid]
        return not pod.ready and bool(mine) and mine[-1].outcome == "Quarantined"

    def stands(self, fault: str) -> dict[str, IncidentView]:
        """The last record of each pod that has this fault and is not over it."""
        found = {}
        for pod in self.pods.values():
            mine = [r for r in self.records.values() if r.pod_uid == pod.uid]
            if mine and mine[-1].fault == fault and (not mine[-1].closed or self._held(pod)):
                found[pod.uid] = mine[-1]
        return found

    def common(self, fault: str) -> bool:
        times = [r.detected_at for r in self.stands(fault).values()]
        return any(sum(timedelta(0) <= other - one <= WINDOW for other in times) >= 2 for one in times)

    def check(self, decision: GrantDecision) -> None:
        granted = [g.incident for g in decision.granted if g.incident.restart_requested]
        causes = [fault for fault in FAULTS if self.common(fault)]
        assert {b.cause.alike[0].fault for b in decision.brakes} <= set(causes), "on, and there is no cause"
        for fault in causes:
            self._check_cause(fault, granted, decision)
        for waiting in decision.waiting:
            record = self.records[waiting.incident]
            assert record.restart_requested or waiting.refusal not in BRAKES, "a silent one may leave rotation"
            assert causes or waiting.refusal not in BRAKES

    def was_in_vain(self, record: IncidentView) -> bool:
        overdue = bool(record.steps) and at(self.clock) - record.steps[-1].started_at >= PATIENCE
        failed = bool(record.steps) and (record.steps[-1].outcome == "Failed" or (overdue and not record.closed))
        return failed or (bool(record.steps) and record.outcome == "Quarantined")

    def _check_cause(self, fault: str, granted: list[IncidentView], decision: GrantDecision) -> None:
        standing = self.stands(fault)
        cured = [r for r in self.records.values() if r.fault == fault and r.outcome == "Recovered"]
        times = {r.name: r.detected_at for r in standing.values()}
        near = {one for one in times for two in times if one != two and abs(times[one] - times[two]) <= WINDOW}
        failed = [r for r in standing.values() if r.name in near and self.was_in_vain(r)]
        running = [
            r
            for r in self.records.values()
            if not r.closed and r.restart_requested and (r.begun or r.outstanding) and not self.was_in_vain(r)
        ]
        if not cured:
            assert not granted or len(granted) + len(running) == 1, "one trial at a time"
            assert not (failed and granted), "nothing after a trial that proved nothing"
        proof = [
            r
            for r in cured
            if r.pod_uid not in standing and all(abs(r.detected_at - t) <= WINDOW for t in times.values())
        ]
        if proof and not failed:
            assert fault not in {b.cause.alike[0].fault for b in decision.brakes}, "a proven trial releases"

    @invariant()
    def the_budget_holds(self) -> None:
        living = {pod.uid for pod in self.pods.values()}
        taken = {r.pod_uid for r in self.records.values() if r.pod_uid in living and not r.closed and r.begun}
        assert len(taken) <= self.allowed


TestBrake = Brake.TestCase
TestBrake.settings = settings(max_examples=200, stateful_step_count=50)
