"""What waits although the engine lives: `StalledStream` findings that may move a replica and never kill one.

A queue that is not admitted, a time to first token that grows while the load does not, a canary behind a crowd, and a
user's request without an answer. The last two are told to people only: a full server and a long answer look like that.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.company import was_alone
from llm_watchdog.core.deadlines import usual
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.signs import counted, signs
from llm_watchdog.core.spells import REQUEST_MIN_BYTES, Holds
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from llm_watchdog.api.thresholds import StalledStreamPolicy
    from llm_watchdog.core.silence import Silence
    from llm_watchdog.core.window import Window

QUEUED_CANARIES: Final = 3
SLOWING_CANARIES: Final = 8
"""In a row: two rounds of four, of which the second is slower than the first."""
SLOWING_FACTOR: Final = 10.0
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
    """On pages that a canary's step has refreshed: vLLM's gauges go stale when nothing steps (vllm#22545)."""
    spell = window.spells.of(Holds.NOT_ADMITTED)
    if spell is None or spell.until < window.horizon(now) - FRESH_SECONDS:
        return None
    passed = window.last_passed_at
    lasted = window.seen_seconds(Span(spell.since, spell.until))
    if lasted < policy.user_stream_deadline or passed is None or not spell.since < passed < spell.until:
        return None
    message = f"requests of users wait for {lasted:.0f} s although nothing runs, the cache is free and canaries pass"
    return _alert(window, FindingReason.ADMISSION_STALLED, message, spell.since, now, incident=True)


def _slowing(window: Window, now: float) -> Finding | None:
    """Canaries alone in the engine, each far slower than usual, and slower still towards the end."""
    passed = [c for c in window.canaries[-2 * SLOWING_CANARIES :] if c.outcome is not CanaryOutcome.IN_PROGRESS]
    newest = passed[-SLOWING_CANARIES:]
    waits = [w for c in newest if (w := _first_token_seconds(c)) is not None]
    if len(waits) < SLOWING_CANARIES or len({canary.shape for canary in newest}) > 1:
        return None
    before = usual(window, newest[0].shape)
    if before is None or min(waits) < max(SLOWING_SECONDS, SLOWING_FACTOR * before):
        return None
    half = SLOWING_CANARIES // 2
    grows = median(waits[half:]) > median(waits[:half]) and sum(a < b for a, b in pairwise(waits)) >= half
    if not grows or not all(was_alone(window, canary.started_at) for canary in newest):
        return None
    message = (
        f"the first token of a canary alone takes {waits[0]:.1f} s to {waits[-1]:.1f} s over {len(waits)} canaries, "
        f"and took {before:.2f} s before"
    )
    reason, since = FindingReason.FIRST_TOKEN_SLOWING, newest[0].started_at
    return _alert(window, reason, message, since, now, incident=True, canaries=tuple(newest))


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
        if connection.open and connection.asked_bytes >= REQUEST_MIN_BYTES and connection.answered_bytes == 0
    ]
    since = min(waits, default=now)
    lasted = window.seen_seconds(Span(since, window.horizon(now)))
    if lasted < policy.user_stream_deadline:
        return None
    message = f"{len(waits)} requests of users have got no byte, the oldest for {lasted:.0f} s, while others are served"
    return _alert(window, FindingReason.USER_STREAM_STALLED, message, since, now)


def _first_token_seconds(canary: CanaryObservation) -> float | None:
    if canary.first_token_at is None or canary.outcome is not CanaryOutcome.SUCCEEDED:
        return None
    return canary.first_token_at - canary.started_at


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
