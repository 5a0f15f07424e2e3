"""One LLMIncident reduced to what the operator decides from. Lenient: a newer watchdog's words must not blind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llm_watchdog.api.reasons import GrantableStep, Phase, Rung, StepOutcome
from llmworker_operator.domain.times import read_time

if TYPE_CHECKING:
    from collections.abc import Mapping

DISRUPTIVE = frozenset({Rung.RESTART.value, Rung.REPLACE_POD.value})
"""Rungs that take capacity away by themselves and are counted by the hour."""

NOT_CARRIED_OUT = frozenset({StepOutcome.DRY_RUN.value, StepOutcome.UNAVAILABLE.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantView:
    """The permission as it stands in the object."""

    step: str
    granted_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One rung that was begun."""

    step: str
    started_at: datetime
    outcome: str = ""

    @property
    def disruptive(self) -> bool:
        return self.step in DISRUPTIVE and self.outcome not in NOT_CARRIED_OUT


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """Evidence and proofs stay in the API server."""

    name: str
    resource_version: str = field(compare=False)
    pod_name: str
    pod_uid: str
    fault: str
    mode: str
    detected_at: datetime
    node: str = ""
    uid: str = ""
    phase: str = Phase.OPEN.value
    outcome: str = ""
    reason: str = ""
    message: str = ""
    verdict: str = ""
    requested_step: str | None = None
    grant: GrantView | None = None
    steps: tuple[StepView, ...] = ()
    closed_at: datetime | None = None

    @property
    def closed(self) -> bool:
        return self.phase == Phase.CLOSED

    @property
    def awaiting(self) -> bool:
        return self.phase == Phase.AWAITING_GRANT

    @property
    def under_way(self) -> bool:
        """Acts or verifies; a phase that this version does not know is taken for the worse."""
        return self.phase not in {Phase.OPEN, Phase.AWAITING_GRANT, Phase.CLOSED}

    @property
    def begun(self) -> bool:
        return any(step.disruptive for step in self.steps)

    @property
    def last_disruption(self) -> StepView | None:
        """The latest step that took capacity, however it ended."""
        return next((step for step in reversed(self.steps) if step.disruptive), None)

    @property
    def claimed(self) -> bool:
        """It acts or verifies, or a granted step was begun and it is not closed yet."""
        return not self.closed and (self.under_way or self.begun)

    @property
    def holds_budget(self) -> bool:
        """Claimed, or with a grant (also an earlier one) that is not withdrawn yet."""
        return self.claimed or (self.grant is not None and not self.closed)

    @property
    def outstanding(self) -> bool:
        """It has the permission that it asks for, and has not claimed it."""
        return self.awaiting and self.grant is not None and self.grant.step == self.requested_step

    @property
    def disruption_requested(self) -> bool:
        return self.requested_step in DISRUPTIVE

    @property
    def restart_requested(self) -> bool:
        return self.requested_step == GrantableStep.RESTART

    @property
    def replacement(self) -> StepView | None:
        """The order to evict the pod, for as long as nothing came of it."""
        last = self.steps[-1] if self.steps and not self.closed else None
        return last if last is not None and last.step == Rung.REPLACE_POD and not last.outcome else None


def _grant(document: Mapping[str, Any] | None) -> GrantView | None:
    if not document:
        return None
    granted, expires = read_time(document.get("grantedAt")), read_time(document.get("expiresAt"))
    if granted is None or expires is None:
        return None
    return GrantView(step=str(document.get("step", "")), granted_at=granted, expires_at=expires)


def _step(document: Mapping[str, Any]) -> StepView | None:
    started = read_time(document.get("startedAt"))
    if started is None:
        return None
    return StepView(step=document.get("step", ""), started_at=started, outcome=document.get("outcome") or "")


def read_incident(document: Mapping[str, Any]) -> IncidentView:
    """From the API server's JSON; an absent phase is `Open`."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    pod = spec.get("podRef") or {}
    detected = read_time(spec.get("detectedAt")) or read_time(metadata.get("creationTimestamp"))
    if detected is None:
        raise ValueError(f"incident {metadata.get('name')} has neither detectedAt nor creationTimestamp")
    steps = (_step(item) for item in status.get("steps") or ())
    return IncidentView(
        name=metadata["name"],
        resource_version=metadata.get("resourceVersion", ""),
        pod_name=pod.get("name", ""),
        pod_uid=pod.get("uid", ""),
        node=pod.get("node") or "",
        fault=spec.get("fault", ""),
        mode=spec.get("mode", ""),
        detected_at=detected,
        phase=status.get("phase") or Phase.OPEN.value,
        uid=metadata.get("uid", ""),
        outcome=status.get("outcome") or "",
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        verdict=status.get("verdict") or "",
        requested_step=status.get("requestedStep"),
        grant=_grant(status.get("grant")),
        steps=tuple(step for step in steps if step is not None),
        closed_at=read_time(status.get("closedAt")),
    )
