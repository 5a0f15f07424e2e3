"""A replica, a clock, and what the watchdog sees: for the tables of remediation and rotation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from llm_watchdog.api.incident import Grant, Incident, PodRef
from llm_watchdog.api.policy import WatchdogPolicy
from llm_watchdog.api.reasons import (
    FaultClass,
    FindingReason,
    GrantableStep,
    Phase,
    RestartMethod,
    StepOutcome,
    UnknownReason,
    VerdictState,
)
from llm_watchdog.core.case import AbortOrder, Case, EngineMark, FlushOrder, Order
from llm_watchdog.core.findings import Finding, Sign, Verdict
from llm_watchdog.core.power import PowerOrder
from llm_watchdog.core.replica import Pass, Replica, decide, resolve_taken
from llm_watchdog.core.situation import Gate, Identity, IncidentView, OrderAnswer, OrderState, Situation, Traffic

START = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
POD = PodRef(name="qwen-0", uid="0123abcd-0000-0000-0000-000000000000", node="n1")
WHO = Identity(worker="qwen", namespace="models", pod=POD)
OLD = EngineMark(container_id="containerd://a", listener=11)
NEW = EngineMark(container_id="containerd://b", listener=22)

NOT_MADE = [
    (OrderState.REFUSED, StepOutcome.FAILED),
    (OrderState.TIMED_OUT, StepOutcome.TIMED_OUT),
    (OrderState.UNAVAILABLE, StepOutcome.UNAVAILABLE),
]
"""What became of an order that was not carried out, and what the record calls it."""


def finding(
    *,
    since: float,
    state: VerdictState = VerdictState.FAULTY,
    silent: bool = True,
    fault: FaultClass = FaultClass.STALLED_STREAM,
    reason: FindingReason = FindingReason.NO_FIRST_TOKEN,
    incident: bool = True,
) -> Finding:
    return Finding(
        fault=fault,
        reason=reason,
        state=state,
        message="no token for 5.0 s",
        since=since,
        silent=silent,
        incident=incident,
        signs=(Sign(at=since, kind="Canary", message="asked, and silent"),),
    )


@dataclass
class World:
    """What happens around the watchdog; `look` is one pass."""

    replica: Replica = field(default_factory=Replica)
    at: float = 0.0
    verdict: Verdict = field(default_factory=lambda: Verdict(state=VerdictState.UNKNOWN, at=0.0, message="starting"))
    facts: dict[str, Any] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    flushes: list[FlushOrder] = field(default_factory=list)
    powers: list[PowerOrder] = field(default_factory=list)
    aborts: list[AbortOrder] = field(default_factory=list)
    views: dict[str, IncidentView] = field(default_factory=dict)
    taken: dict[str, Incident] = field(default_factory=dict)
    last: Pass | None = None

    def __post_init__(self) -> None:
        self.facts = {
            "process_started_at": START,
            "identity": WHO,
            "policy": WatchdogPolicy(),
            "engine": OLD,
            "traffic": Traffic(in_flight=0, moving=False),
            "gate": Gate(in_rotation=True, since=START),
            "restart_method": RestartMethod.ALL_CONTAINERS,
            **self.facts,
        }

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.at)

    def situation(self) -> Situation:
        return Situation(
            now=self.now,
            monotonic=self.at,
            verdict=self.verdict,
            views=dict(self.views),
            last_restart_at=self.replica.last_restart_at,
            **self.facts,
        )

    def look(self, seconds: float = 1.0, **facts: Any) -> World:
        """Time passes, facts change, one pass; what it orders is noted."""
        self.at += seconds
        self.facts |= facts
        situation = self.situation()
        self.last = decide(resolve_taken(self.replica, self.taken, situation), situation)
        self.replica = self.last.replica
        gate: Gate | None = self.facts["gate"]
        if self.facts.get("api_unreachable_since") is None and (
            gate is None or gate.in_rotation != self.last.rotation.in_rotation
        ):
            self.facts["gate"] = Gate(in_rotation=self.last.rotation.in_rotation, since=self.now)
        if self.last.restart is not None:
            self.orders.append(self.last.restart)
            self.facts["order"] = OrderAnswer(state=OrderState.PENDING)
        if self.last.flush is not None:
            self.flushes.append(self.last.flush)
            self.facts["flush"] = OrderAnswer(state=OrderState.PENDING)
        if self.last.power is not None:
            self.powers.append(self.last.power)
            self.facts["power_order"] = OrderAnswer(state=OrderState.PENDING)
        if self.last.abort is not None:
            self.aborts.append(self.last.abort)
            self.facts["abort"] = OrderAnswer(state=OrderState.PENDING)
        return self

    def settle(self, **facts: Any) -> World:
        """Looks until nothing changes any more, at one instant."""
        self.facts |= facts
        for _ in range(12):
            before = (self.replica, self.facts["gate"])
            self.look(0.0)
            if before == (self.replica, self.facts["gate"]):
                return self
        raise AssertionError("never comes to rest")

    def healthy(self, seconds: float = 1.0) -> World:
        """A canary that began now has passed."""
        self.at += seconds
        self.verdict = Verdict(
            state=VerdictState.HEALTHY,
            at=self.at,
            message="canary passed",
            last_healthy_at=self.at,
            last_canary_passed_at=self.at,
        )
        return self.settle()

    def sick(self, seconds: float = 1.0, **kwargs: Any) -> World:
        """The verdict has a finding whose evidence began now."""
        self.at += seconds
        found = finding(since=self.at, **kwargs)
        self.verdict = Verdict(
            state=found.state,
            at=self.at,
            message=found.message,
            findings=(found,),
            last_healthy_at=self.verdict.last_healthy_at,
            last_canary_passed_at=self.verdict.last_canary_passed_at,
        )
        return self.settle()

    def unknown(self, why: UnknownReason = UnknownReason.PROBE_FAILED) -> World:
        self.verdict = replace(
            self.verdict, state=VerdictState.UNKNOWN, unknown=why, findings=(), message="cannot be told"
        )
        return self.settle()

    def grant(self, step: GrantableStep = GrantableStep.RESTART) -> World:
        """The API server holds the incident as it stands, and the operator grants."""
        given = Grant(step=step, granted_at=self.now, expires_at=self.now + timedelta(minutes=5))
        self.views[self.case.name] = IncidentView(
            resource_version="7", phase=Phase.AWAITING_GRANT, requested_step=step, grant=given
        )
        return self.settle()

    def claimed(self) -> World:
        self.views[self.case.name] = replace(self.views[self.case.name], phase=Phase.ACTING)
        return self.settle()

    @property
    def case(self) -> Case:
        return self.replica.cases[-1]

    @property
    def in_rotation(self) -> bool:
        assert self.last is not None
        return self.last.rotation.in_rotation


def serving(**facts: Any) -> World:
    """A replica that has passed its first canary."""
    return World(facts=facts).settle().healthy()


def ordered(**facts: Any) -> World:
    """A restart has been granted, claimed and ordered."""
    return serving(**facts).sick().grant().claimed()
