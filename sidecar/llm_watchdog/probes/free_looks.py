"""The looks that cost the engine no token: health, metrics page, state and status endpoints, each at its own pace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_watchdog.core import cadence
from llm_watchdog.core.residence import may_be_called

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from llm_watchdog.core.observations import Observation
    from llm_watchdog.core.window import Window
    from llm_watchdog.engines.dialect import Dialect
    from llm_watchdog.probes.endpoints import Endpoints

    Look = Callable[[], AsyncIterator[Observation]]
    Interval = Callable[[], float]


class FreeLooks:
    """As far as the dialect has them. What is seen is yielded one by one, as the next look may depend on it."""

    def __init__(
        self,
        endpoints: Endpoints,
        dialect: Dialect,
        clock: Callable[[], float],
        *,
        window: Callable[[], Window],
        model: Callable[[], str | None],
    ) -> None:
        self._endpoints = endpoints
        self._dialect = dialect
        self._clock = clock
        self._window = window
        self._model = model

    def schedule(self) -> list[tuple[Look, Interval]]:
        """Each look, and the seconds from one to the next as things stand."""
        looks: list[tuple[Look, Interval]] = [
            (self._health, lambda: cadence.health_interval(self._window(), self._clock()))
        ]
        if self._dialect.metrics_path is not None:
            looks.append((self._metrics, lambda: cadence.metrics_interval(self._window(), self._clock())))
        if self._dialect.state_paths:
            looks.append((self._state, lambda: cadence.STATE_SECONDS))
        if self._dialect.status_calls:
            looks.append((self._status, lambda: cadence.status_interval(self._window(), self._clock())))
        return looks

    async def cache_hits(self) -> float | None:
        """The engine's own count of prompt tokens that came from its cache."""
        if self._dialect.metrics_path is None:
            return None
        page = await self._endpoints.metrics(self._dialect.metrics_path)
        return None if page.reading is None else page.reading.cache_hits

    async def _health(self) -> AsyncIterator[Observation]:
        yield await self._endpoints.health()

    async def _metrics(self) -> AsyncIterator[Observation]:
        if self._dialect.metrics_path is not None:
            yield await self._endpoints.metrics(self._dialect.metrics_path)
        if self._dialect.load_path is not None:
            yield await self._endpoints.load(self._dialect.load_path)

    async def _state(self) -> AsyncIterator[Observation]:
        """Unless a canary has just asked for it."""
        states = self._window().states
        if not states or self._clock() - states[-1].at >= cadence.FRESH_SECONDS:
            yield await self._endpoints.state()

    async def _status(self) -> AsyncIterator[Observation]:
        for call in self._dialect.status_calls:
            if may_be_called(self._window(), wakes=call.wakes):
                yield await self._endpoints.status(call, self._model())
