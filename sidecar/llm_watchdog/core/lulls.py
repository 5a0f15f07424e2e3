"""Lulls: silences beside users that ended by themselves. What a healthy server has done once it may do again.

A replica that computes long prompts is silent for everybody meanwhile, and looks like one that hangs. Each time that
it was suspected wrongly its deadline grows, as in the failure detectors of Chandra and Toueg ("Unreliable failure
detectors for reliable distributed systems", JACM 43(2), 1996, section 6: a time-out grows with each mistake). So it
leaves rotation once, and not with every prompt. Only departures from rotation wait longer for it, no restart does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.habits import Habits, Lull
from llm_watchdog.core.silence import silence
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from llm_watchdog.core.window import Window

FACTOR: Final = 2.0
"""A deadline, in times of the longest lull: prompts differ in length."""
GROWTH_MAX: Final = 4.0
"""Times what is configured: 40 s by default, well below the 100 s of a restart."""
MEMORY_SECONDS: Final = 3600.0
"""A lull is forgotten when none of at least half its length has come for so long."""
ALIKE: Final = 0.5


def after_lull(window: Window, habits: Habits, now: float) -> Habits:
    """The habits with what the silence that lasts now, or has just ended, tells. To be called at each look."""
    lull, quiet = habits.lull, silence(window, now)
    ended, life = lull.since, window.last_life_at
    since = None
    if quiet is not None and not (quiet.alone and quiet.warm):
        since = window.horizon(now) - quiet.quiet
    if ended is not None and life is not None and life > ended > habits.sick_at:
        lull = _with(lull, window.seen_seconds(Span(ended, life)), now)
    if now - lull.at > MEMORY_SECONDS:
        lull = Lull()
    return replace(habits, lull=replace(lull, since=since))


def times_longer(habits: Habits, floor: float) -> float:
    """How many times longer than the floor a busy engine may be silent before it leaves rotation."""
    return min(GROWTH_MAX, max(1.0, FACTOR * habits.lull.seconds / floor)) if floor > 0 else 1.0


def _with(lull: Lull, seconds: float, now: float) -> Lull:
    if seconds >= lull.seconds:
        return Lull(seconds=seconds, at=now)
    return replace(lull, at=now) if seconds >= ALIKE * lull.seconds else lull
