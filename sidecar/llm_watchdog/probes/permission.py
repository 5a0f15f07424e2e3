"""May the engine be sent a canary now? Asked of its own state and status endpoints, briefly, around each canary."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from llm_watchdog.core.cadence import BRIEF_SECONDS
from llm_watchdog.core.observations import AnswerKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from llm_watchdog.core.observations import StateObservation, StatusObservation
    from llm_watchdog.core.window import Window
    from llm_watchdog.engines.dialect import Dialect
    from llm_watchdog.probes.endpoints import Endpoints


class Permission:
    """Asks what the window does not tell already."""

    def __init__(self, endpoints: Endpoints, dialect: Dialect, clock: Callable[[], float]) -> None:
        self._endpoints = endpoints
        self._dialect = dialect
        self._clock = clock

    async def ask(
        self, window: Window, model: str | None, *, believed: float
    ) -> list[StateObservation | StatusObservation]:
        """What the engine says, except for what it said within the last `believed` seconds.

        Silence is left out: so short a one says nothing, and an engine that is silent here is to be asked for tokens
        all the more.
        """
        since = self._clock() - believed
        told_at = {seen.name: seen.at for seen in window.status}
        looks: list[Awaitable[StateObservation | StatusObservation]] = [
            self._endpoints.status(call, model, seconds=BRIEF_SECONDS)
            for call in self._dialect.status_calls
            if call.guards and told_at.get(call.name, -math.inf) <= since
        ]
        if self._dialect.state_paths and (not window.states or window.states[-1].at <= since):
            looks.append(self._endpoints.state(seconds=BRIEF_SECONDS))
        return [seen for seen in await asyncio.gather(*looks) if seen.kind is not AnswerKind.SILENT]
