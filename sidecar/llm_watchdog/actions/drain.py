"""`/drain`, behind the engine's preStop: returns when nobody loses anything by the engine's end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from llm_watchdog.core.case import EngineMark, same_engine

if TYPE_CHECKING:
    from collections.abc import Callable

SETTLE_SECONDS: Final = 3.0
"""New connections still come for a moment after a replica left the endpoints: nodes learn of it one by one."""
QUIET_SECONDS: Final = 2.0
"""Nobody may be served for this long: connections are looked at once a second, and a request may come in between."""
POLL_SECONDS: Final = 0.2
LAPSE_SECONDS: Final = 60.0
"""An engine that still lives this long after its drain was not stopped: whoever asked, it serves again. A pod that
really ends has left the endpoints by its deletion alone."""


class Drainable(Protocol):
    """What draining needs to see."""

    @property
    def engine(self) -> EngineMark:
        """Which engine this is."""

    @property
    def in_flight(self) -> int | None:
        """Users' requests; None: unknown."""

    @property
    def condemned(self) -> bool:
        """Nothing is served here, so there is nothing to wait for."""


class Drain:
    """Holds for the engine that is being stopped and ends with it: its successor starts anew."""

    def __init__(self, replica: Drainable, clock: Callable[[], float]) -> None:
        self._replica = replica
        self._clock = clock
        self._engine: EngineMark | None = None
        self._ended_at: float | None = None

    @property
    def active(self) -> bool:
        """This engine is being stopped."""
        if self._engine is None:
            return False
        lapsed = self._ended_at is not None and self._clock() - self._ended_at >= LAPSE_SECONDS
        if lapsed or same_engine(self._engine, self._replica.engine) is False:
            self._engine = None
            return False
        return True

    async def wait(self, timeout: float) -> str:  # noqa: ASYNC109 - part of the answer, not a way to cancel
        """Out of rotation, then wait; the sentence says how it ended."""
        if self._replica.condemned:
            return "nothing is served here: nothing to wait for"
        began = self._clock()
        self._engine, self._ended_at = self._replica.engine, None
        try:
            return await self._until_empty(began, timeout)
        finally:
            self._ended_at = self._clock()

    async def _until_empty(self, began: float, timeout: float) -> str:  # noqa: ASYNC109
        served_at = began
        while True:
            waited = self._clock() - began
            in_flight = self._replica.in_flight
            if in_flight != 0:
                served_at = self._clock()
            quiet = self._clock() - served_at
            if self._replica.condemned:
                return f"nothing is served here any more after {waited:.1f} s"
            if in_flight == 0 and waited >= min(SETTLE_SECONDS, timeout) and quiet >= min(QUIET_SECONDS, timeout):
                return f"no request in flight after {waited:.1f} s"
            if waited >= timeout:
                left = "an unknown number of" if in_flight is None else in_flight
                return f"{left} requests in flight after {waited:.1f} s"
            await asyncio.sleep(POLL_SECONDS)
