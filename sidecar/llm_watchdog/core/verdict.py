"""The verdict: what the window says about the replica now. No data is `Unknown`, and `Unknown` never acts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import EngineTask
from llm_watchdog.api.reasons import UnknownReason, VerdictState
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.detectors import DETECTORS
from llm_watchdog.core.findings import Finding, Verdict

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget, WatchdogPolicy
    from llm_watchdog.api.reasons import FaultClass
    from llm_watchdog.core.window import Window

BELIEVED_SECONDS: Final = 15.0
"""How long a sign of life is believed beyond the time in which the next one is due."""

_TURNED_AWAY: Final = frozenset({CanaryOutcome.REJECTED, CanaryOutcome.SERVER_ERROR})
"""Without a finding, a 5xx to the canary is a full queue or a pause."""


def judge(window: Window, target: EngineTarget, policy: WatchdogPolicy, now: float) -> Verdict:
    """Combine the findings of all detectors."""
    unknown = _nothing_to_say(window, target)
    if unknown is not None:
        return _verdict(window, VerdictState.UNKNOWN, now, unknown[1], unknown=unknown[0])
    found = _one_each(
        [finding for detect in DETECTORS if (finding := detect(window, target, policy.detectors, now)) is not None]
    )
    for state in (VerdictState.FAULTY, VerdictState.SUSPECT):
        worst = next((finding for finding in found if finding.state is state and finding.moves), None)
        if worst is not None:
            return _verdict(window, state, now, worst.message, findings=tuple(found))
    return replace(_without_findings(window, policy, now), findings=tuple(found))


def _one_each(found: list[Finding]) -> list[Finding]:
    """Of several about the same fault class the strongest, else the first: a class has one incident."""
    strongest: dict[FaultClass, Finding] = {}
    for finding in found:
        before = strongest.get(finding.fault)
        if before is None or (before.state is VerdictState.SUSPECT and finding.state is VerdictState.FAULTY):
            strongest[finding.fault] = finding
    return list(strongest.values())


def _nothing_to_say(window: Window, target: EngineTarget) -> tuple[UnknownReason, str] | None:
    newest = window.canaries[-1] if window.canaries else None
    if target.task is not EngineTask.GENERATE:
        return (
            UnknownReason.NO_CANARY,
            f"task {target.task.value} allows no canary; silence cannot be told from idleness",
        )
    if window.asleep:
        return UnknownReason.ASLEEP, "the engine says that it sleeps or is paused; a generation request would hang"
    if newest is not None and newest.outcome is CanaryOutcome.IMPOSSIBLE:
        return UnknownReason.NO_CANARY, newest.detail
    if not window.answered:
        return _not_answered(window, newest)
    return None


def _not_answered(window: Window, newest: CanaryObservation | None) -> tuple[UnknownReason, str]:
    if newest is None:
        why = f" ({window.void_because})" if window.void_because else ""
        return UnknownReason.STARTING, f"no canary was sent yet{why}"
    if newest.outcome is CanaryOutcome.NOT_SENT:
        return UnknownReason.PROBE_FAILED, f"the watchdog could not send its canary: {newest.detail}"
    if newest.outcome is CanaryOutcome.REJECTED:
        return UnknownReason.CANARY_REJECTED, f"canary answered with HTTP {newest.http_status}: {newest.detail}"
    return UnknownReason.STARTING, f"no canary was answered yet; the newest: {newest.outcome.value}"


def _without_findings(window: Window, policy: WatchdogPolicy, now: float) -> Verdict:
    since_life = None if window.last_life_at is None else max(0.0, window.horizon(now) - window.last_life_at)
    due = policy.canary.busy_interval + policy.canary.timeout + BELIEVED_SECONDS
    if since_life is not None and since_life <= due:
        return _verdict(window, VerdictState.HEALTHY, now, f"last sign of life {since_life:.1f} s ago")
    ended = (canary for canary in reversed(window.canaries) if canary.outcome is not CanaryOutcome.IN_PROGRESS)
    newest = next(ended, None)
    if newest is not None and newest.outcome in _TURNED_AWAY:
        message = f"canary answered with HTTP {newest.http_status}: {newest.detail}"
        return _verdict(window, VerdictState.UNKNOWN, now, message, unknown=UnknownReason.CANARY_REJECTED)
    message = f"no sign of life for {since_life or 0.0:.1f} s, and no canary that tells why"
    return _verdict(window, VerdictState.UNKNOWN, now, message, unknown=UnknownReason.PROBE_FAILED)


def _verdict(
    window: Window,
    state: VerdictState,
    now: float,
    message: str,
    *,
    findings: tuple[Finding, ...] = (),
    unknown: UnknownReason | None = None,
) -> Verdict:
    return Verdict(
        state=state,
        at=now,
        message=message,
        findings=findings,
        unknown=unknown,
        last_healthy_at=window.last_life_at,
        last_canary_passed_at=window.last_passed_at,
    )
