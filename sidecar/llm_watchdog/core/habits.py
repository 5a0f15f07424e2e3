"""What this model usually does on this machine: how long it takes, and how much it says. Records only; see `deadlines`.

Times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from llm_watchdog.core.observations import StatusObservation

LENGTH_SAMPLES: Final = 8
"""Answers that a shape's usual length is taken from: its first ones, so that a slow decay cannot become the norm."""
ENDLESS_SAMPLES: Final = 3
"""Of them, from which on it can be told what has no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """A running fit of log-normally distributed times."""

    count: int = 0
    mean: float = 0.0
    """Of the logarithms."""
    variance: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lull:
    """The longest silence beside users that ended by itself."""

    seconds: float = 0.0
    at: float = float("-inf")
    """When it, or one that was half as long, was last seen to end."""
    since: float | None = None
    """Begin of the one that lasts now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Keyed by what was measured: the shape and the load of a canary, or the engine's own histogram."""

    first_token: Mapping[str, Habit] = field(default_factory=dict)
    gap: Mapping[str, Habit] = field(default_factory=dict)
    learned_until: float = float("-inf")
    """Observations that ended up to this moment have been learned from, or passed over."""
    lull: Lull = field(default_factory=Lull)
    sick_at: float = float("-inf")
    """When a verdict last said that the replica is sick."""


def interrupted(habits: Habits) -> Habits:
    """Another process, or a sleep: that the silence is over says nothing about the engine that was silent."""
    return replace(habits, lull=replace(habits.lull, since=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """The shortest of the first whole answers of a shape, and the longest."""

    count: int
    tokens: int
    characters: int
    most_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Slots that were busy at each look and did not move; longer than the looks themselves are kept."""

    since: float
    until: float
    held: int
    """The fewest at any of these looks, our own requests not counted."""
    look: StatusObservation
    """The newest of them."""
    newest: int = 0
    """How many were held at that one."""
