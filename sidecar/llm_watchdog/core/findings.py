"""What detection hands to remediation: findings and the verdict over them."""

from __future__ import annotations

from dataclasses import dataclass

from llm_watchdog.api.reasons import FaultClass, FindingReason, UnknownReason, VerdictState


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One observation that a finding rests on; `at` is monotonic seconds."""

    at: float
    kind: str
    """`Canary`, `Metrics`, `Health`, `Load`, `Sockets`, `State` or `Status`."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A detector's answer. `state` says how far the evidence goes: `Suspect` moves traffic, `Faulty` may kill."""

    fault: FaultClass
    reason: FindingReason
    state: VerdictState
    message: str
    since: float
    """Monotonic seconds: begin of the evidence, for example the start of the first silent canary."""
    silent: bool
    """The replica produces nothing for anybody, so taking it out of rotation costs nothing."""
    signs: tuple[Sign, ...] = ()
    incident: bool = True
    """The evidence cannot come from a healthy server. Otherwise it moves traffic where that costs nothing (`silent`),
    and nothing else: a healthy server that compiles a kernel must leave no record of a fault."""

    @property
    def moves(self) -> bool:
        """It has consequences; one that has none is told to people only."""
        return self.incident or self.silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The state of the replica now.

    `findings` is empty unless the state is `Suspect` or `Faulty`. Beside them `unknown` may say that it sleeps.
    """

    state: VerdictState
    at: float
    message: str
    findings: tuple[Finding, ...] = ()
    unknown: UnknownReason | None = None
    last_healthy_at: float | None = None
    """Monotonic seconds of the last positive sign of health (a token for a canary, progress on users' streams)."""
    last_canary_passed_at: float | None = None
    """Begin of the newest canary that got its tokens: proof must have begun after the step it proves."""
    started_over_at: float | None = None
    """When what was known of an earlier engine became void: another process, or one that loads, pauses or drains."""

    @property
    def is_well(self) -> bool:
        """Healthy, or suspected of nothing that has consequences."""
        alerts = self.state is VerdictState.SUSPECT and not any(finding.moves for finding in self.findings)
        return alerts or self.state is VerdictState.HEALTHY
