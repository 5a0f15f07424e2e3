"""Flawed canaries in a row: how many, since when, and whether they say more than that somebody aborted them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import NO_EVIDENCE_OUTCOMES, CanaryObservation, CanaryOutcome, Flaw
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_watchdog.core.window import Window

SUSTAINED_SECONDS: Final = 10.0
"""Canaries that fail at once follow each other within a second: so many of them in a moment are one event."""
SETTLED_SECONDS: Final = 2.0
"""A stream that somebody's restart has cut is followed by refused connections sooner than this."""
ABORTS_SECONDS: Final = 60.0
"""A pause, a sleep or a weight update by somebody else ends streams as `abort`, not all for so long."""
SERVER_ERROR: Final = 500
ABORTED: Final = frozenset({"abort", "aborted", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Oldest first."""

    canaries: tuple[CanaryObservation, ...]
    seconds: float
    """From the begin of the first to the end of the last, as far as the watchdog was awake."""

    def is_sustained(self, failures: int) -> bool:
        """Enough of them, over enough time."""
        return len(self.canaries) >= failures and self.seconds >= SUSTAINED_SECONDS


def flaw_of(canary: CanaryObservation) -> Flaw | None:
    """What is wrong with a stream that did come, by the class of fault that it is a sign of.

    An error before the first token, with a 5xx or for want of memory, is no broken stream but a broken engine; one that
    a gateway relays there is its upstream's.
    """
    if canary.outcome is CanaryOutcome.ERROR_IN_STREAM and (canary.tokens or not is_relayed(canary)):
        broken_engine = (canary.http_status or 0) >= SERVER_ERROR or canary.flaw is Flaw.OUT_OF_MEMORY
        return None if broken_engine and canary.tokens == 0 else Flaw.ERROR_IN_STREAM
    if canary.outcome is not CanaryOutcome.INCOMPLETE or canary.flaw is not None:
        return canary.flaw
    if canary.finish is None:
        return Flaw.BODY_CUT
    return Flaw.NO_FINISH_REASON if _is_aborted(canary) else Flaw.ERROR_IN_STREAM


def is_relayed(canary: CanaryObservation) -> bool:
    """The error is that of a server behind this one."""
    return canary.flaw is Flaw.UPSTREAM_FAILED


def flawed_run(window: Window, flaws: Iterable[Flaw]) -> Run:
    """The newest canaries, all of which have one of these flaws."""
    wanted = frozenset(flaws)
    run: list[CanaryObservation] = []
    for canary in reversed(window.canaries):
        if canary.outcome in NO_EVIDENCE_OUTCOMES or canary.outcome is CanaryOutcome.IN_PROGRESS:
            continue
        if flaw_of(canary) not in wanted:
            break
        run.append(canary)
    found = _run(window, run[::-1])
    only_aborts = all(_is_aborted(canary) for canary in found.canaries)
    return _run(window, []) if only_aborts and found.seconds < ABORTS_SECONDS else found


def _run(window: Window, canaries: list[CanaryObservation]) -> Run:
    if not canaries:
        return Run(canaries=(), seconds=0.0)
    ends = [canary.started_at if canary.finished_at is None else canary.finished_at for canary in canaries]
    span = Span(min(canary.started_at for canary in canaries), max(ends))
    return Run(canaries=tuple(canaries), seconds=window.seen_seconds(span))


def _is_aborted(canary: CanaryObservation) -> bool:
    return (canary.finish or "").lower() in ABORTED
