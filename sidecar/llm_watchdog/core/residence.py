"""Whether a canary may be sent, by what the engine's status endpoints say: is the model in memory, and is it safe?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_watchdog.core.observations import StatusReading
    from llm_watchdog.core.window import Window


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
    """Why none may be sent for as long as this engine process runs; empty: one may."""
    return next((reading.no_canary for reading in newest_readings(window) if reading.no_canary), "")
