"""What waits although the engine lives: `StalledStream` findings that may move a replica and never kill one.

A queue that is not admitted, a time to first token that grows while the load does not, a canary behind a crowd, and a
user's request without an answer. The last two are told to people only: a full server and a long answer look like that.
"""

from __future__ import annotations

from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.company import was_alone
from llm_watchdog.core.connections import GENERATION_REQUEST_MIN_BYTES
from llm_watchdog.core.deadlines import usual
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.signs import counted, signs
from llm_watchdog.core.spells import Holds, refreshed
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from llm_watchdog.api.thresholds import StalledStreamPolicy
    from llm_watchdog.core.silence import Silence
    from llm_watchdog.core.window import Window

QUEUED_CANARIES: Final = 3
SLOWING_CANARIES: Final = 8
"""In a row; the last few of them slower than the first few."""
SLOWING_CANARIES_MAX: Final = 64
GROWTH: Final = 1.25
"""From the first few to the last few, by their medians: more than noise."""
SLOWING_FACTOR: Final = 5.0
"""Times the usual time to first token of a canary alone."""
SLOWING_SECONDS: Final = 1.0
"""Below this nobody minds."""
FRESH_SECONDS: Final = 30.0
"""A page that is older says nothing about now; they come every 2 to 10 s."""


def waiting_beside_life(
    window: Window, policy: StalledStreamPolicy, quiet: Silence | None, now: float
) -> Finding | None:
    """The gravest of them, or None."""
    return (
        _not_admitted(window, policy, now)
        or _slowing(window, now)
        or _queued(window, policy, quiet, now)
        or _user_stalled(window, policy, now)
    )


def _not_admitted(window: Window, policy: StalledStreamPolicy, now: float) -> Finding | None:
    spell = window.spells.of(Holds.NOT_ADMITTED)
    if spell is None or spell.until < window.horizon(now) - FRESH_SECONDS:
        return None
    lasted = window.seen_seconds(Span(spell.since, spell.until))
    if lasted < policy.user_stream_deadline or not refreshed(spell, window.canaries):
        return None
    message = f"requests of users wait for {lasted:.0f} s although nothing runs, the cache is free and canaries pass"
    return _alert(window, FindingReason.ADMISSION_STALLED, message, spell.since, now, incident=True)


def _slowing(window: Window, now: float) -> Finding | None:
    """Canaries alone in the engine, each far slower than usual, and slower still towards the end."""
    slow = _slow_run(window)
    if len(slow) < SLOWING_CANARIES:
        return None
    waits, part = [wait for _, wait in slow], SLOWING_CANARIES // 2
    grows = median(waits[-part:]) >= GROWTH * median(waits[:part])
    canaries = tuple(canary for canary, _ in slow[-SLOWING_CANARIES:])
    if not grows or not all(was_alone(window, canary.started_at) for canary in canaries):
        return None
    before = usual(window, canaries[-1].shape) or 0.0
    message = (
        f"the first token of a canary alone takes {waits[0]:.1f} s to {waits[-1]:.1f} s over {len(waits)} canaries, "
        f"and took {before:.2f} s before"
    )
    reason, since = FindingReason.FIRST_TOKEN_SLOWING, slow[0][0].started_at
    return _alert(window, reason, message, since, now, incident=True, canaries=canaries)


def _slow_run(window: Window) -> list[tuple[CanaryObservation, float]]:
    """The newest canaries that passed, all of one shape and far slower than it usually is; oldest first."""
    passed = (canary for canary in reversed(window.canaries) if canary.outcome is CanaryOutcome.SUCCEEDED)
    newest = list(islice(passed, SLOWING_CANARIES_MAX))
    shape = newest[0].shape if newest else ""
    before = usual(window, shape)
    run: list[tuple[CanaryObservation, float]] = []
    for canary in newest:
        wait = None if canary.first_token_at is None else canary.first_token_at - canary.started_at
        slow = wait is not None and before is not None and wait >= max(SLOWING_SECONDS, SLOWING_FACTOR * before)
        if not slow or wait is None or canary.shape != shape:
            break
        run.append((canary, wait))
    return run[::-1]


def _queued(window: Window, policy: StalledStreamPolicy, quiet: Silence | None, now: float) -> Finding | None:
    if quiet is None or quiet.waited < policy.busy_restart_deadline or len(quiet.canaries) < QUEUED_CANARIES:
        return None
    message = f"{counted(quiet.canaries)} waited {quiet.waited:.1f} s without a first token while other streams move"
    since = quiet.canaries[0].started_at
    return _alert(window, FindingReason.NO_FIRST_TOKEN, message, since, now, canaries=quiet.canaries)


def _user_stalled(window: Window, policy: StalledStreamPolicy, now: float) -> Finding | None:
    """No byte at all came back. After headers alone a connection may be idle in a pool."""
    if not window.ledger.readable or window.ledger.at is None:
        return None
    waits = [
        connection.asked_at
        for connection in window.ledger.connections
        if connection.open and connection.asked_bytes >= GENERATION_REQUEST_MIN_BYTES and connection.answered_bytes == 0
    ]
    since = min(waits, default=now)
    lasted = window.seen_seconds(Span(since, window.horizon(now)))
    if lasted < policy.user_stream_deadline:
        return None
    message = f"{len(waits)} requests of users have got no byte, the oldest for {lasted:.0f} s, while others are served"
    return _alert(window, FindingReason.USER_STREAM_STALLED, message, since, now)


def _alert(
    window: Window,
    reason: FindingReason,
    message: str,
    since: float,
    now: float,
    *,
    incident: bool = False,
    canaries: tuple[CanaryObservation, ...] = (),
) -> Finding:
    return Finding(
        fault=FaultClass.STALLED_STREAM,
        reason=reason,
        state=VerdictState.SUSPECT,
        message=message,
        since=since,
        silent=False,
        signs=signs(window, canaries, now),
        incident=incident,
    )
