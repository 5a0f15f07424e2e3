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
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_watchdog.core.window import Window

RECENT_TRAFFIC_SECONDS: Final = 5.0
"""User bytes that moved this shortly before the silence belong to it."""
ADMISSION_GRACE_SECONDS: Final = 1.0
"""A request that arrives this shortly after the first silent canary may still have come before the silence did."""
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
    return Silence(
        canaries=run,
        since=since,
        covered=sum(covered),
        waited=sum(window.seen_seconds(span) for span in waits),
        quiet=horizon - (first if life is None else min(life, horizon)),
        asked=sum(seconds > 0 for seconds in covered),
        warm=all(canary.shape in window.warm_shapes for canary in run),
        alone=was_alone(window, since),
    )


def was_alone(window: Window, moment: float) -> bool:
    """Nobody but the watchdog was being served at that moment; not readable counts as somebody."""
    if _others_counted(window, moment):
        return False
    settled = moment - RECENT_TRAFFIC_SECONDS
    if window.last_passed_at is not None and window.last_passed_at <= moment:
        # A canary that began after a request and got its tokens shows that the request did not silence the engine.
        settled = window.last_passed_at
    recent = moment - RECENT_TRAFFIC_SECONDS
    samples = [t for t in window.traffic if t.at > min(settled, recent) and t.since < moment + ADMISSION_GRACE_SECONDS]
    if not samples or samples[-1].outstanding or samples[-1].at < moment - RECENT_TRAFFIC_SECONDS:
        return False
    return all(
        sample.readable and not (sample.asked and sample.at > settled) and not (sample.streaming and sample.at > recent)
        for sample in samples
    )


def _others_counted(window: Window, moment: float) -> bool:
    """The engine's own gauges showed requests beside our canary."""
    pages = [
        page for page in window.metrics if page.at <= moment + ADMISSION_GRACE_SECONDS and page.reading is not None
    ]
    if not pages or pages[-1].reading is None:
        return False
    counted = (pages[-1].reading.running or 0) + (pages[-1].reading.waiting or 0)
    return counted > pages[-1].own_canaries


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
