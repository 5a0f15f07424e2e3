"""Is anybody but the watchdog being served? Active checks are made alone, and what is not readable counts as busy."""

from __future__ import annotations

from bisect import bisect_right
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from llm_watchdog.core.connections import Traffic
    from llm_watchdog.core.window import Window

SAMPLES_MIN: Final = 3
"""A stream that began before the first sample shows its movement in the third one, a second each."""
ASKED_SECONDS: Final = 2.0
"""A request may be answered between two samples. A scrape of the metrics page looks alike, and is soon over."""

_MOMENT: Final = attrgetter("at")


class Company(StrEnum):
    """Who is being served beside us."""

    ALONE = "Alone"
    SERVED = "Served"
    UNREADABLE = "Unreadable"
    UNKNOWN = "Unknown"
    """Not looked at for long enough."""


def company(window: Window, quiet_for: float, now: float) -> Company:
    """Alone: nobody is being served, and nobody was for `quiet_for` seconds."""
    recent = window.traffic[-SAMPLES_MIN:]
    earlier = window.traffic[:-SAMPLES_MIN]
    recent += earlier[bisect_right(earlier, now - quiet_for, key=_MOMENT) :]
    if any(not sample.readable for sample in recent):
        return Company.UNREADABLE
    asked = any(sample.asked and sample.at > now - ASKED_SECONDS for sample in recent)
    if asked or any(map(_serves, recent)) or _counted(window, quiet_for, now):
        return Company.SERVED
    return Company.ALONE if len(recent) >= SAMPLES_MIN else Company.UNKNOWN


def joined(window: Window, since: float) -> bool:
    """Somebody came, or can no longer be seen, after `since`."""
    return any(t.at > since and (not t.readable or t.asked or _serves(t)) for t in window.traffic)


def _serves(sample: Traffic) -> bool:
    return bool(sample.streaming or sample.outstanding)


def _counted(window: Window, quiet_for: float, now: float) -> bool:
    """The engine's own gauges show requests that are not ours."""
    page = next((page for page in reversed(window.metrics) if page.reading is not None), None)
    if page is None or page.reading is None or page.at <= now - quiet_for:
        return False
    return (page.reading.running or 0) + (page.reading.waiting or 0) > page.own_canaries
