"""The bounded history that a verdict is made of, and the few facts that outlive it. `core.intake` adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from llm_watchdog.core.baseline import Baseline
from llm_watchdog.core.cache_memory import CacheMemory
from llm_watchdog.core.canaries import CanaryObservation
from llm_watchdog.core.check_rounds import CheckObservation
from llm_watchdog.core.complaints import Judged
from llm_watchdog.core.connections import Ledger, Traffic
from llm_watchdog.core.habits import Habits, Hold, Length, interrupted
from llm_watchdog.core.metering import Meter
from llm_watchdog.core.observations import (
    HealthObservation,
    LoadObservation,
    MetricsObservation,
    StateObservation,
    StatusObservation,
)
from llm_watchdog.core.pace import Pace
from llm_watchdog.core.records import changed
from llm_watchdog.core.spells import NONE_YET, Spells

BEAT_GAP_SECONDS: Final = 1.5
"""Beats come twice a second. Between two that lie further apart the watchdog itself stood still."""


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds from `begin` to `end`."""

    begin: float
    end: float

    def overlap(self, other: Span) -> float:
        """Seconds that both cover."""
        return max(0.0, min(self.end, other.end) - max(self.begin, other.begin))


@dataclass(frozen=True, kw_only=True)
class Window:
    """Oldest first. Without slots, for `changed`."""

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
    came_up: bool = False
    """An earlier engine process had answered."""
    starting_since: float | None = None
    """When the engine that has not answered yet began to start, as far as that was seen."""
    started_over_at: float | None = None
    """When the newest engine process was noticed."""
    warm_shapes: frozenset[str] = frozenset()
    asleep_by_state: bool = False
    asleep_by_metrics: bool = False
    """Kept apart: a pause does not show on the metrics page."""
    asleep_by_order: bool = False
    """Of ours: some engines do not tell."""
    sleep_is_ours: bool = False
    """Nobody but us puts it to sleep, so that it is awake unless we ordered otherwise."""
    asleep_since: float | None = None
    woke_at: float | None = None
    """It slept and says that it is awake; None again as soon as it has generated."""
    wake_failed_at: float | None = None
    """A wake was answered with an error; None again as soon as it has generated."""
    unloaded: bool = False
    """No model is in memory; a request would load it."""
    last_life_at: float | None = None
    """No token, stream or counter is known to have moved later. Errs on the early side."""
    last_passed_at: float | None = None
    """Begin of the newest canary that succeeded."""
    refused_at: float | None = None
    """When a connection was last refused."""
    meter: Meter = field(default_factory=Meter)
    """Of a metered engine; kept up by the shell, which knows the day."""
    cache: CacheMemory = field(default_factory=CacheMemory)
    rechecked_at: float | None = None
    """When what the checks had shown was declared void, as the cache was flushed."""
    last_exit: str = ""
    """Why the engine's container before this one ended, in the kubelet's word; empty where nobody tells."""
    void_because: str = ""
    """Why the history begins where it does."""
    spells: Spells = NONE_YET
    hold: Hold | None = None
    habits: Habits = field(default_factory=Habits)
    lengths: Mapping[str, Length] = field(default_factory=dict)
    """How long the first answers of each shape were."""
    paces: Mapping[str, Pace] = field(default_factory=dict)
    """And how quick."""

    @property
    def asleep(self) -> bool:
        """Sleeping or paused, as far as the engine tells; stays so until it tells otherwise or generates."""
        return self.asleep_by_state or self.asleep_by_metrics or self.asleep_by_order

    def restarted(self, reason: str) -> Window:
        """A new engine process: what was learned about the old one is void, what is known of our own loop is not.

        How long this model takes on this machine was learned too, and stays.
        """
        still_starting = not self.answered and self.starting_since is not None
        return Window(
            beat_at=self.beat_at,
            blind=self.blind,
            listeners=self.listeners,
            ledger=self.ledger,
            refused_at=self.refused_at,
            baseline=self.baseline.restarted(),
            meter=self.meter,
            void_because=reason,
            last_exit=self.last_exit,
            came_up=self.came_up or self.answered,
            starting_since=self.starting_since if still_starting else self.beat_at,
            started_over_at=self.beat_at,
            habits=interrupted(self.habits),
            sleep_is_ours=self.sleep_is_ours,
        )

    def horizon(self, now: float) -> float:
        """Up to when the watchdog can have seen what happened."""
        return now if self.beat_at is None else min(now, self.beat_at + BEAT_GAP_SECONDS)

    def seen_seconds(self, span: Span) -> float:
        """How much of a span the watchdog was awake for."""
        return max(0.0, span.end - span.begin - sum(span.overlap(blind) for blind in self.blind))

    def alive(self, at: float) -> Window:
        """The window with a sign of life."""
        return changed(self, last_life_at=at if self.last_life_at is None else max(self.last_life_at, at))

    def with_sleep(self, *, by_state: bool, by_metrics: bool, at: float) -> Window:
        """The window with what the engine says at a time about its sleep."""
        return self._after_sleep(changed(self, asleep_by_state=by_state, asleep_by_metrics=by_metrics), at)

    def ordered(self, *, asleep: bool, at: float) -> Window:
        """The window of an engine that we told to sleep, or that answered our wake: newer than what it said before.

        A wake of ours has emptied the cache.
        """
        if asleep:
            return self._after_sleep(changed(self, asleep_by_order=True), at)
        awake = changed(self, asleep_by_order=False, asleep_by_state=False, asleep_by_metrics=False)
        woken = self._after_sleep(awake, at)
        return changed(woken, cache=woken.cache.after_flush())

    def _after_sleep(self, window: Window, at: float) -> Window:
        if window.asleep == self.asleep:
            return window
        # After a sleep the first canary is a cold one again, and the gate stays shut until it has passed.
        anew = window.cold()
        return changed(anew, asleep_since=at, woke_at=None) if window.asleep else changed(anew, woke_at=at)

    def cold(self) -> Window:
        """The window of an engine whose model was not in memory: its next answer is a first one.

        So it is with the checks: what was right before a sleep may be wrong after it.
        """
        return changed(
            self,
            checks=(),
            judged=Judged(),
            cache=self.cache.after_sleep(),
            rechecked_at=None,
            answered=False,
            answered_at=None,
            canaries=(),
            warm_shapes=frozenset(),
            habits=interrupted(self.habits),
            came_up=self.came_up or self.answered,
        )

    def started_anew(self, at: float) -> Window:
        """Of another engine process than the one that answered in an earlier life of this watchdog, which began at `at`
        itself: with an in-place restart of all containers both are new.
        """
        return changed(self, came_up=True, starting_since=at)

    def rechecked(self, at: float) -> Window:
        """What the checks have shown is void, though not what was learned from them."""
        return changed(self, checks=(), judged=Judged(), cache=self.cache.after_flush(), rechecked_at=at)
