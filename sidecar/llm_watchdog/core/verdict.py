"""The verdict: what the window says about the replica now. No data is `Unknown`, and `Unknown` never acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import EngineTask
from llm_watchdog.api.reasons import FaultClass, UnknownReason, VerdictState
from llm_watchdog.core import metering
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.detectors import DETECTORS
from llm_watchdog.core.detectors.engine_dead import start_timed_out
from llm_watchdog.core.detectors.wake_failed import wake_failed
from llm_watchdog.core.findings import Finding, Verdict
from llm_watchdog.core.residence import is_left_alone

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget, WatchdogPolicy
    from llm_watchdog.core.window import Window

BELIEVED_SECONDS: Final = 15.0
"""How long a sign of life is believed beyond the time in which the next one is due."""

_TURNED_AWAY: Final = frozenset({CanaryOutcome.REJECTED, CanaryOutcome.SERVER_ERROR})
"""Without a finding, a 5xx to the canary is a full queue or a pause."""


def judge(
    window: Window,
    target: EngineTarget,
    policy: WatchdogPolicy,
    now: float,
    ignored: frozenset[FaultClass] = frozenset(),
) -> Verdict:
    """Combine the findings of all detectors, but for those of the fault classes that are to be ignored."""
    unknown = _nothing_to_say(window, target, policy)
    seen = _findings(window, target, policy, now, unknown=None if unknown is None else unknown[0])
    found = _one_each(_one_cause(tuple(finding for finding in seen if finding.fault not in ignored)))
    for state in (VerdictState.FAULTY, VerdictState.SUSPECT):
        worst = next((finding for finding in found if finding.state is state), None)
        if worst is not None:
            why = None if unknown is None or unknown[0] is not UnknownReason.ASLEEP else unknown[0]
            return _verdict(window, state, now, worst.message, findings=found, unknown=why)
    if unknown is not None:
        return _verdict(window, VerdictState.UNKNOWN, now, unknown[1], unknown=unknown[0])
    return _without_findings(window, target, policy, now)


def _findings(
    window: Window, target: EngineTarget, policy: WatchdogPolicy, now: float, *, unknown: UnknownReason | None
) -> tuple[Finding, ...]:
    """Of an engine that never answered nothing is known that could be a fault."""
    if not (window.answered or window.came_up):
        return ()
    thresholds = policy.detectors
    found: tuple[Finding | None, ...] = ()
    if unknown is None:
        found = tuple(detect(window, target, thresholds, now) for detect in DETECTORS)
    elif unknown is UnknownReason.ASLEEP:
        found = (wake_failed(window, target, thresholds, now),)
    elif unknown is UnknownReason.STARTING:
        limit = policy.remediation.startup_timeout
        found = (wake_failed(window, target, thresholds, now), start_timed_out(window, limit, now))
    return tuple(finding for finding in found if finding is not None)


def _one_each(found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Of several about the same fault class the strongest, else the first: a class has one incident."""
    strongest: dict[FaultClass, Finding] = {}
    for finding in found:
        before = strongest.get(finding.fault)
        if before is None or (before.state is VerdictState.SUSPECT and finding.state is VerdictState.FAULTY):
            strongest[finding.fault] = finding
    return tuple(strongest.values())


def _one_cause(found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """A canary that hangs because no slot comes free is a consequence, and no second incident."""
    leaks = any(finding.fault is FaultClass.LEAKED_CONCURRENCY and finding.silent for finding in found)
    return tuple(
        finding for finding in found if not (leaks and finding.fault is FaultClass.STALLED_STREAM and finding.silent)
    )


def _nothing_to_say(window: Window, target: EngineTarget, policy: WatchdogPolicy) -> tuple[UnknownReason, str] | None:
    newest = window.canaries[-1] if window.canaries else None
    if target.task is not EngineTask.GENERATE:
        return (
            UnknownReason.NO_CANARY,
            f"task {target.task.value} allows no canary; silence cannot be told from idleness",
        )
    if window.asleep:
        return UnknownReason.ASLEEP, "the engine says that it sleeps or is paused; a generation request would hang"
    if window.unloaded:
        return UnknownReason.UNLOADED, "the engine has unloaded its model for idleness; a canary would load it"
    if newest is not None and newest.outcome is CanaryOutcome.IMPOSSIBLE:
        return UnknownReason.NO_CANARY, newest.detail
    if not window.answered:
        return _spent(window, target, policy) or _not_answered(window, newest)
    return None


def _spent(window: Window, target: EngineTarget, policy: WatchdogPolicy) -> tuple[UnknownReason, str] | None:
    if not target.metered or not metering.is_spent(window, policy):
        return None
    spent = f"{window.meter.tokens} of {policy.checks.tokens_per_day} tokens for canaries"
    return UnknownReason.TOKENS_SPENT, f"{spent} are spent until the next UTC day"


def _not_answered(window: Window, newest: CanaryObservation | None) -> tuple[UnknownReason, str]:
    if newest is None:
        why = f" ({window.void_because})" if window.void_because else ""
        return UnknownReason.STARTING, f"no canary was sent yet{why}"
    if newest.outcome is CanaryOutcome.NOT_SENT:
        return UnknownReason.PROBE_FAILED, f"the watchdog could not send its canary: {newest.detail}"
    if newest.outcome is CanaryOutcome.REJECTED:
        return UnknownReason.CANARY_REJECTED, f"canary answered with HTTP {newest.http_status}: {newest.detail}"
    return UnknownReason.STARTING, f"no canary was answered yet; the newest: {newest.outcome.value}"


def _without_findings(window: Window, target: EngineTarget, policy: WatchdogPolicy, now: float) -> Verdict:
    since_life = None if window.last_life_at is None else max(0.0, window.horizon(now) - window.last_life_at)
    due = policy.canary.busy_interval + policy.canary.timeout + BELIEVED_SECONDS
    if since_life is not None and since_life <= due:
        return _verdict(window, VerdictState.HEALTHY, now, f"last sign of life {since_life:.1f} s ago")
    spent = _spent(window, target, policy)
    if spent is not None:
        return _verdict(window, VerdictState.UNKNOWN, now, spent[1], unknown=spent[0])
    ended = (canary for canary in reversed(window.canaries) if canary.outcome is not CanaryOutcome.IN_PROGRESS)
    newest = next(ended, None)
    if newest is not None and newest.outcome in _TURNED_AWAY:
        message = f"canary answered with HTTP {newest.http_status}: {newest.detail}"
        return _verdict(window, VerdictState.UNKNOWN, now, message, unknown=UnknownReason.CANARY_REJECTED)
    if is_left_alone(window, now):
        message = "nobody uses it for a while: it is not asked for anything, so that it may unload its model"
        return _verdict(window, VerdictState.UNKNOWN, now, message, unknown=UnknownReason.NO_CANARY)
    if target.metered and newest is not None and newest.outcome is CanaryOutcome.SUCCEEDED:
        message = f"metered: asked on suspicion only, and the last sign of life is {since_life or 0.0:.1f} s old"
        return _verdict(window, VerdictState.UNKNOWN, now, message, unknown=UnknownReason.NO_CANARY)
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
        started_over_at=window.started_over_at,
    )
