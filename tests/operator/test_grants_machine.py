"""Tries to break the budget: watchdogs that claim, fail and ask again, an operator that dies between any two writes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llmworker_operator.domain.grants import decide_grants
from llmworker_operator.domain.record import GrantView, IncidentView, StepView
from tests.operator.making import at, incident, replica, worker

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.thorough

PODS = ("a", "b", "c", "d", "e")

Write = tuple[IncidentView, GrantView | None]


class Budget(RuleBasedStateMachine):
    """`records` is the API server: every write bumps the version, and fails on another one than was seen."""

    @initialize(allowed=st.integers(1, 3), per_hour=st.integers(1, 2))
    def start(self, allowed: int, per_hour: int) -> None:
        budget = {"maxUnavailable": allowed, "maxPerHour": per_hour, "cooldown": "10s"}
        self.policy = worker(watchdog={"remediation": {"budget": budget}}).watchdog
        self.allowed, self.per_hour = allowed, per_hour
        self.clock = 0.0
        self.version = 1
        self.records: dict[str, IncidentView] = {}
        self.claimed: dict[str, datetime] = {}
        self.restarts: list[float] = []
        self.writes: list[Write] = []

    def write(self, seen: IncidentView, **changes: Any) -> bool:
        record = self.records[seen.name]
        if record.resource_version != seen.resource_version:
            return False
        self.version += 1
        self.records[seen.name] = replace(record, resource_version=str(self.version), **changes)
        return True

    @rule(seconds=st.sampled_from([1, 5, 31, 700]))
    def time_passes(self, seconds: float) -> None:
        self.clock += seconds

    @rule(pod=st.sampled_from(PODS), step=st.sampled_from(["Restart", "ReplacePod", "LeaveRotation"]))
    def a_fault_is_found(self, pod: str, step: str) -> None:
        self.version += 1
        name = f"{pod}-{self.version}"
        made = incident(pod, name, detected=self.clock, phase="AwaitingGrant", requestedStep=step)
        self.records[name] = replace(made, resource_version=str(self.version))

    @rule()
    def the_operator_decides(self) -> None:
        """What was planned before and not written is forgotten: a crash, and a new process that looks afresh."""
        decision = decide_grants(
            policy=self.policy,
            incidents=list(self.records.values()),
            replicas=[replica(pod) for pod in PODS],
            wanted=len(PODS),
            now=at(self.clock),
        )
        self.writes = [(record, None) for record in decision.withdrawn]
        for granting in decision.granted:
            given = granting.grant
            view = GrantView(step=given.step.value, granted_at=given.granted_at, expires_at=given.expires_at)
            self.writes.append((granting.incident, view))

    @precondition(lambda self: self.writes)
    @rule()
    def the_operator_writes_one(self) -> None:
        seen, grant = self.writes.pop(0)
        self.write(seen, grant=grant)

    @rule()
    def the_operator_passes_undisturbed(self) -> None:
        self.the_operator_decides()
        while self.writes:
            self.the_operator_writes_one()

    @precondition(lambda self: any(r.outstanding for r in self.records.values()))
    @rule(data=st.data())
    def a_watchdog_claims(self, data: st.DataObject) -> None:
        self._claim(data.draw(st.sampled_from([r for r in self.records.values() if r.outstanding])))

    def _claim(self, record: IncidentView) -> None:
        """Never the same grant twice."""
        assert record.grant is not None
        if self.claimed.get(record.name) == record.grant.granted_at:
            return
        self.claimed[record.name] = record.grant.granted_at
        steps = record.steps
        if record.disruption_requested:
            steps = (*steps, StepView(step=str(record.requested_step), started_at=at(self.clock)))
            self.restarts.append(self.clock)
        self.write(record, phase="Acting", steps=steps)

    @rule(pod=st.sampled_from(PODS))
    def a_restart_goes_well(self, pod: str) -> None:
        """From the fault to the end of the incident, if the operator lets it."""
        self.a_fault_is_found(pod, "Restart")
        self.the_operator_passes_undisturbed()
        for record in [r for r in self.records.values() if r.outstanding and r.pod_name == pod]:
            self._claim(record)
        for record in [r for r in self.records.values() if r.under_way and r.pod_name == pod]:
            self.write(record, phase="Closed", closed_at=at(self.clock))

    @precondition(lambda self: any(r.under_way for r in self.records.values()))
    @rule(data=st.data(), phase=st.sampled_from(["Verifying", "AwaitingGrant", "Closed"]))
    def a_watchdog_goes_on(self, data: st.DataObject, phase: str) -> None:
        record = data.draw(st.sampled_from([r for r in self.records.values() if r.under_way]))
        asks = "Restart" if phase == "AwaitingGrant" else record.requested_step
        self.write(record, phase=phase, requested_step=asks, closed_at=at(self.clock) if phase == "Closed" else None)

    @invariant()
    def the_budget_holds(self) -> None:
        out = {r.pod_uid for r in self.records.values() if not r.closed and (r.under_way or r.begun)}
        assert len(out) <= self.allowed

    @invariant()
    def the_hourly_limit_holds(self) -> None:
        assert len([began for began in self.restarts if began > self.clock - 3600]) <= self.per_hour


TestBudget = Budget.TestCase
TestBudget.settings = settings(max_examples=150, stateful_step_count=40)
