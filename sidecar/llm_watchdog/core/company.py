"""Who else was being served at a moment, by the sockets and by the engine's own gauges."""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import CanaryOutcome

if TYPE_CHECKING:
    from llm_watchdog.core.canaries import CanaryObservation
    from llm_watchdog.core.window import Window

RECENT_TRAFFIC_SECONDS: Final = 5.0
"""User bytes that moved this shortly before a moment belong to it."""
ADMISSION_GRACE_SECONDS: Final = 1.0
"""A request that arrives this shortly after the first silent canary may still have come before the silence did."""

COUNTED_MAX: Final = 1e6
"""More requests than any gauge can mean."""

_MOMENT: Final = attrgetter("at")


def was_alone(window: Window, moment: float) -> bool:
    """Nobody but the watchdog was being served at that moment; not readable counts as somebody."""
    if _counted(window, moment) > 0:
        return False
    settled = moment - RECENT_TRAFFIC_SECONDS
    if window.last_passed_at is not None and window.last_passed_at <= moment:
        # A canary that began after a request and got its tokens shows that the request did not silence the engine.
        settled = window.last_passed_at
    recent = moment - RECENT_TRAFFIC_SECONDS
    looks = window.traffic[bisect_right(window.traffic, min(settled, recent), key=_MOMENT) :]
    samples = [look for look in looks if look.since < moment + ADMISSION_GRACE_SECONDS]
    if not samples or samples[-1].outstanding or samples[-1].at < moment - RECENT_TRAFFIC_SECONDS:
        return False
    return all(
        sample.readable and not (sample.asked and sample.at > settled) and not (sample.streaming and sample.at > recent)
        for sample in samples
    )


def company_at(window: Window, moment: float) -> int | None:
    """How many requests of others were being served; None where it cannot be read."""
    before = next((t for t in reversed(window.traffic) if t.at <= moment), None)
    if before is None or not before.readable or before.at < moment - RECENT_TRAFFIC_SECONDS:
        return None
    return max(before.outstanding, int(_counted(window, moment)))


def company_of(window: Window, canary: CanaryObservation) -> int | None:
    """How many requests of others it was served beside; None where it cannot be read.

    A request that had got its headers when the canary began, or came while it waited, is company too: what a canary
    waited for then says nothing about one that is alone.
    """
    others = company_at(window, canary.started_at)
    if others != 0:
        return others
    passed = (c.started_at for c in reversed(window.canaries) if c.outcome is CanaryOutcome.SUCCEEDED)
    before = next((at for at in passed if at < canary.started_at), canary.started_at)
    begin = min(before, canary.started_at - RECENT_TRAFFIC_SECONDS)
    end = canary.started_at if canary.first_token_at is None else canary.first_token_at
    meanwhile = (t for t in window.traffic if t.at > begin and t.since < end)
    return int(any(not t.readable or t.asked or t.streaming or t.outstanding for t in meanwhile))


def _counted(window: Window, moment: float) -> float:
    """Requests that the engine's own gauges showed beside our canary."""
    newest = next(
        (p for p in reversed(window.metrics) if p.at <= moment + ADMISSION_GRACE_SECONDS and p.reading is not None),
        None,
    )
    if newest is None or newest.reading is None:
        return 0.0
    counted = (newest.reading.running or 0) + (newest.reading.waiting or 0)
    return min(counted - newest.own_canaries, COUNTED_MAX) if counted > newest.own_canaries else 0.0
