"""How long the engine has been silent, as far as it was asked, and what was in flight when the silence began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import (
    NO_EVIDENCE_OUTCOMES,
    SILENT_OUTCOMES,
    CanaryObservation,
    CanaryOutcome,
)
from llm_watchdog.core.company import company_at, was_alone
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_watchdog.core.window import Window

STALE_SECONDS: Final = 15.0
"""Evidence that ended longer ago than this, with nothing asked since, says nothing about now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A run of canaries without a token, up to now."""

    canaries: tuple[CanaryObservation, ...]
    """Oldest first."""
    since: float
    """Begin of the first silent canary, or the last sign of life of anybody if that came later."""
    covered: float
    """Seconds since then in which a canary was waiting and the watchdog was awake to see it."""
    waited: float
    """The same without regard to other people's progress."""
    quiet: float
    """Seconds since the last sign of life of anybody."""
    asked: int
    """Canaries that the covered seconds belong to."""
    warm: bool
    """The shape has succeeded in this engine process before."""
    alone: bool
    """Nobody else was being served when the silence began."""
    others: int | None
    """How many were; None where it cannot be read."""


def silence(window: Window, now: float) -> Silence | None:
    """The silence that lasts now, or None if the newest evidence is no silence."""
    horizon = window.horizon(now)
    run = tuple(reversed(list(_silent_run(window))))
    if not run or _end(run[-1], horizon) < horizon - STALE_SECONDS:
        return None
    life = window.last_life_at
    first = _begin(run[0])
    since = first if life is None else max(first, min(life, horizon))
    waits = [Span(_begin(canary), _end(canary, horizon)) for canary in run]
    spans = [Span(max(span.begin, since), span.end) for span in waits]
    covered = [window.seen_seconds(span) for span in spans]
    alone, others = was_alone(window, since), company_at(window, since)
    return Silence(
        canaries=run,
        since=since,
        covered=sum(covered),
        waited=sum(window.seen_seconds(span) for span in waits),
        quiet=horizon - (first if life is None else min(life, horizon)),
        asked=sum(seconds > 0 for seconds in covered),
        warm=all(canary.shape in window.warm_shapes for canary in run),
        alone=alone,
        others=1 if others == 0 and not alone else others,
    )


def _silent_run(window: Window) -> Iterator[CanaryObservation]:
    """Newest first: the canaries since the last one that was answered in any way."""
    for canary in reversed(window.canaries):
        if canary.outcome in NO_EVIDENCE_OUTCOMES:
            continue
        if canary.outcome not in SILENT_OUTCOMES:
            return
        yield canary
        if canary.tokens > 0:
            return


def _begin(canary: CanaryObservation) -> float:
    return canary.started_at if canary.last_token_at is None else canary.last_token_at


def _end(canary: CanaryObservation, horizon: float) -> float:
    if canary.outcome is CanaryOutcome.IN_PROGRESS or canary.finished_at is None:
        return horizon
    return min(canary.finished_at, horizon)
