"""Streams that stop after some tokens, again and again: each new canary shows a little life, none comes to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import (
    NO_EVIDENCE_OUTCOMES,
    SILENT_OUTCOMES,
    CanaryObservation,
    CanaryOutcome,
)
from llm_watchdog.core.company import was_alone
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from llm_watchdog.core.window import Window

PACES: Final = 3.0
"""A gap this many times longer than the engine took per token before it is a stall, not slowness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """The newest canaries, all of which began to generate and stalled; oldest first."""

    canaries: tuple[CanaryObservation, ...]
    covered: float
    """Seconds of all gaps that the watchdog was awake to see."""
    alone: bool
    """In a warm engine, and nobody else was being served at any of them."""


def repeated_gaps(window: Window, deadline: float, now: float) -> Gaps | None:
    """The gaps since the last canary that came to its end."""
    horizon = window.horizon(now)
    found: list[tuple[CanaryObservation, Span]] = []
    for canary in reversed(window.canaries):
        gap = _gap(canary, horizon)
        if gap is not None and gap.end - gap.begin >= max(deadline, PACES * _pace(canary)):
            found.append((canary, gap))
        elif canary.outcome not in NO_EVIDENCE_OUTCOMES and canary.outcome is not CanaryOutcome.IN_PROGRESS:
            break
    if not found:
        return None
    return Gaps(
        canaries=tuple(canary for canary, _ in reversed(found)),
        covered=sum(window.seen_seconds(gap) for _, gap in found),
        alone=all(canary.shape in window.warm_shapes and was_alone(window, gap.begin) for canary, gap in found),
    )


def _gap(canary: CanaryObservation, horizon: float) -> Span | None:
    if canary.outcome not in SILENT_OUTCOMES or canary.last_token_at is None or canary.tokens <= 0:
        return None
    end = horizon if canary.finished_at is None else min(canary.finished_at, horizon)
    return Span(canary.last_token_at, end)


def _pace(canary: CanaryObservation) -> float:
    last = canary.started_at if canary.last_token_at is None else canary.last_token_at
    return (last - canary.started_at) / canary.tokens
