"""`WakeFailed`: after a wake state and behaviour disagree, or a pause by somebody else never ends.

Sleep is no fault, and silence in a sleep is none: a pause that lasts is reported and never acted on. An engine that
says that it is awake is taken at its word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.company import was_alone
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.signs import counted, signs
from llm_watchdog.core.silence import silence
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.window import Window

CERTAIN: Final = 2.0
"""Times the deadline."""


def wake_failed(window: Window, _target: EngineTarget, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """Judge an engine that sleeps, or has just woken up."""
    return (
        _error(window, thresholds, now)
        or (_paused(window, thresholds, now) if window.asleep else None)
        or _silent(window, thresholds, now)
    )


def _error(window: Window, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """In the engine's own count of requests, whoever asked it to wake up."""
    failed = window.wake_failed_at
    if failed is None:
        return None
    lasted = window.seen_seconds(Span(failed, window.horizon(now)))
    return Finding(
        fault=FaultClass.WAKE_FAILED,
        reason=FindingReason.WAKE_ERROR,
        state=VerdictState.FAULTY if lasted >= thresholds.wake_failed.restart_deadline else VerdictState.SUSPECT,
        message=f"a wake was answered with an error {lasted:.0f} s ago, and no token came since",
        since=failed,
        silent=True,
        signs=signs(window, window.canaries[-1:], now),
    )


def _paused(window: Window, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    policy, since = thresholds.wake_failed, window.asleep_since
    if since is None or policy.pause_deadline <= 0 or window.asleep_by_order:
        return None
    lasted = window.seen_seconds(Span(since, window.horizon(now)))
    if lasted < policy.pause_deadline:
        return None
    return Finding(
        fault=FaultClass.WAKE_FAILED,
        reason=FindingReason.PAUSED_TOO_LONG,
        state=VerdictState.SUSPECT,
        message=f"it says that it sleeps or is paused, for {lasted:.0f} s now, and nobody ends it",
        since=since,
        silent=True,
        signs=signs(window, (), now),
    )


def _silent(window: Window, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """With users' requests in flight since the wake, a kernel compile looks alike: slower then."""
    policy, woke = thresholds.wake_failed, window.woke_at
    quiet = silence(window, now)
    if woke is None or quiet is None or window.asleep or quiet.covered < policy.deadline:
        return None
    alone = was_alone(window, max(woke, quiet.since))
    patience = 0.0 if alone else thresholds.stalled_stream.busy_restart_deadline
    faulty = quiet.covered >= max(policy.restart_deadline, patience)
    return Finding(
        fault=FaultClass.WAKE_FAILED,
        reason=FindingReason.AWAKE_BUT_SILENT,
        state=VerdictState.FAULTY if faulty else VerdictState.SUSPECT,
        message=f"awake by its own word, and {counted(quiet.canaries)} silent for {quiet.covered:.1f} s",
        since=quiet.since,
        silent=True,
        signs=signs(window, quiet.canaries, now),
        incident=faulty or (alone and quiet.covered >= CERTAIN * policy.deadline),
    )
