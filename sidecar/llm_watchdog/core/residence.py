"""Whether a canary may be sent, by what the engine's status endpoints say: is the model in memory, and is it safe?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import CanaryOutcome

if TYPE_CHECKING:
    from llm_watchdog.core.observations import StatusReading
    from llm_watchdog.core.window import Window

LEFT_ALONE_AFTER_SECONDS: Final = 600.0
"""Nobody was served for so long: a model that is not needed may go, and until then a hang is found at once."""
LONGEST_STAY_SECONDS: Final = 1800.0
"""Whose model stays longer than this without a request would not be looked at for as long, and goes on being asked."""


def newest_readings(window: Window) -> tuple[StatusReading, ...]:
    """What each status endpoint last said; one that is silent now keeps what it said before."""
    newest = {seen.name: seen.reading for seen in window.status if seen.reading is not None}
    return tuple(newest.values())


def is_leaving(window: Window) -> bool:
    """The model is about to be unloaded: a request would hold it, or load it again."""
    return any(reading.leaving for reading in newest_readings(window))


def may_not_be_asked(window: Window) -> bool:
    """A canary would hang in a sleeping engine, and wake one that has unloaded its model, or keep it from that."""
    return window.asleep or window.unloaded or is_leaving(window)


def may_be_called(window: Window, *, wakes: bool) -> bool:
    """A status call that would wake a sleeping engine is made only after another one has said that it is awake."""
    return not wakes or (bool(newest_readings(window)) and not window.asleep and not window.unloaded)


def why_no_canary(window: Window) -> str:
    """Why none may be sent for as long as this engine process runs; empty: one may, as far as it is awake."""
    if window.sleep_is_ours:
        return ""
    return next((reading.no_canary for reading in newest_readings(window) if reading.no_canary), "")


def is_left_alone(window: Window, now: float) -> bool:
    """Each canary would begin its idle time anew: it is asked again as soon as somebody else asks for something."""
    stays = [reading.unloads_in for reading in newest_readings(window) if reading.unloads_in is not None]
    if not stays or min(stays) > LONGEST_STAY_SECONDS or not window.canaries or window.judged.doubts:
        return False
    since = now - LEFT_ALONE_AFTER_SECONDS
    looks = [look for look in window.traffic if look.at > since]
    watched = bool(looks) and window.traffic[0].at <= since
    unused = all(look.readable and not look.streaming and not look.outstanding for look in looks)
    return watched and unused and window.canaries[-1].outcome is CanaryOutcome.SUCCEEDED
