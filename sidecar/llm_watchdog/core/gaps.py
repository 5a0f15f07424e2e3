"""Streams that stop after some tokens, again and again: each new canary shows a little life, none comes to its end."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
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
    from collections.abc import Sequence

    from llm_watchdog.core.window import Window

PACES: Final = 3.0
"""A gap this many times longer than the engine took per token before it is a stall, not slowness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Some of the gaps."""

    count: int
    covered: float
    """Seconds of them that the watchdog was awake to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """The newest canaries, all of which began to generate and stalled; oldest first."""

    canaries: tuple[CanaryObservation, ...]
    all: Run
    alone: Run
    """The newest ones: in a warm engine, and nobody else was being served at any of them."""
    still: Run
    """Those in which no answer moved for anybody and nobody waited for a first byte: no prefill stopped the canary, and
    it gave way to nobody.
    """


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
    alone = takewhile(lambda one: one[0].shape in window.warm_shapes and was_alone(window, one[1].begin), found)
    return Gaps(
        canaries=tuple(canary for canary, _ in reversed(found)),
        all=_run(window, [gap for _, gap in found]),
        alone=_run(window, [gap for _, gap in alone]),
        still=_run(window, [gap for _, gap in found if _is_still(window, gap)]),
    )


def _run(window: Window, gaps: Sequence[Span]) -> Run:
    return Run(count=len(gaps), covered=sum(window.seen_seconds(gap) for gap in gaps))


def _is_still(window: Window, gap: Span) -> bool:
    looks = [look for look in window.traffic if look.since >= gap.begin and look.at <= gap.end]
    return bool(looks) and all(look.readable and not look.streaming and not look.outstanding for look in looks)


def _gap(canary: CanaryObservation, horizon: float) -> Span | None:
    if canary.outcome not in SILENT_OUTCOMES or canary.last_token_at is None or canary.tokens <= 0:
        return None
    end = horizon if canary.finished_at is None else min(canary.finished_at, horizon)
    return Span(canary.last_token_at, end)


def _pace(canary: CanaryObservation) -> float:
    last = canary.started_at if canary.last_token_at is None else canary.last_token_at
    return (last - canary.started_at) / canary.tokens
