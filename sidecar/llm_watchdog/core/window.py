"""The bounded history that a verdict is made of, and the few facts that outlive it. `core.intake` adds to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from llm_watchdog.core.baseline import Baseline
from llm_watchdog.core.canaries import CanaryObservation
from llm_watchdog.core.check_rounds import CheckObservation
from llm_watchdog.core.complaints import Judged
from llm_watchdog.core.connections import Ledger, Traffic
from llm_watchdog.core.observations import (
    HealthObservation,
    LoadObservation,
    MetricsObservation,
    StateObservation,
    StatusObservation,
)

BEAT_GAP_SECONDS = 1.5
"""Beats come twice a second. Between two that lie further apart the watchdog itself stood still."""


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds from `begin` to `end`."""

    begin: float
    end: float

    def overlap(self, other: Span) -> float:
        """Seconds that both cover."""
        return max(0.0, min(self.end, other.end) - max(self.begin, other.begin))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Oldest first."""

    canaries: tuple[CanaryObservation, ...] = ()
    metrics: tuple[MetricsObservation, ...] = ()
    health: tuple[HealthObservation, ...] = ()
    loads: tuple[LoadObservation, ...] = ()
    states: tuple[StateObservation, ...] = ()
    status: tuple[StatusObservation, ...] = ()
    checks: tuple[CheckObservation, ...] = ()
    """Since the engine started, woke, or lost its cache."""
    judged: Judged = field(default_factory=Judged)
    """What these rounds say."""
    baseline: Baseline = field(default_factory=Baseline)
    traffic: tuple[Traffic, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    blind: tuple[Span, ...] = ()
    beat_at: float | None = None
    listeners: frozenset[int] = frozenset()
    answered: bool = False
    """A canary has got a token since this engine process started (or woke)."""
    answered_at: float | None = None
    """When the first one did; None also where another process of ours saw it."""
    warm_shapes: frozenset[str] = frozenset()
    asleep_by_state: bool = False
    asleep_by_metrics: bool = False
    """Kept apart: a pause does not show on the metrics page."""
    last_life_at: float | None = None
    """No token, stream or counter is known to have moved later. Errs on the early side."""
    last_passed_at: float | None = None
    """Begin of the newest canary that succeeded."""
    refused_at: float | None = None
    """When a connection was last refused."""
    void_because: str = ""
    """Why the history begins where it does."""

    @property
    def asleep(self) -> bool:
        """Sleeping or paused, as far as the engine tells; stays so until it tells otherwise or generates."""
        return self.asleep_by_state or self.asleep_by_metrics

    def restarted(self, reason: str) -> Window:
        """A new engine process: what was learned about the old one is void, what is known of our own loop is not."""
        return Window(
            beat_at=self.beat_at,
            blind=self.blind,
            listeners=self.listeners,
            ledger=self.ledger,
            refused_at=self.refused_at,
            baseline=self.baseline.restarted(),
            void_because=reason,
        )

    def horizon(self, now: float) -> float:
        """Up to when the watchdog can have seen what happened."""
        return now if self.beat_at is None else min(now, self.beat_at + BEAT_GAP_SECONDS)

    def seen_seconds(self, span: Span) -> float:
        """How much of a span the watchdog was awake for."""
        return max(0.0, span.end - span.begin - sum(span.overlap(blind) for blind in self.blind))

    def alive(self, at: float) -> Window:
        """The window with a sign of life."""
        return replace(self, last_life_at=at if self.last_life_at is None else max(self.last_life_at, at))

    def with_sleep(self, *, by_state: bool, by_metrics: bool) -> Window:
        """The window with what the engine says about its sleep."""
        window = replace(self, asleep_by_state=by_state, asleep_by_metrics=by_metrics)
        if window.asleep == self.asleep:
            return window
        # After a sleep the first canary is a cold one again, and the gate stays shut until it has passed.
        # So it is with the checks: what was right before the sleep may be wrong now.
        return replace(window.rechecked(), answered=False, answered_at=None, canaries=(), warm_shapes=frozenset())

    def rechecked(self) -> Window:
        """What the checks have shown is void, though not what was learned from them."""
        return replace(self, checks=(), judged=Judged())
