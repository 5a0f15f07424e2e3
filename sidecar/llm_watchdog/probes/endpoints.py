"""The plain endpoints of the engine, each turned into an observation: health, metrics, load, sleep state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from llm_watchdog.core.observations import (
    AnswerKind,
    HealthObservation,
    LoadObservation,
    MetricsObservation,
    StateObservation,
)
from llm_watchdog.probes.engine_client import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_watchdog.engines.dialect import Dialect, StatePath
    from llm_watchdog.probes.engine_client import EngineClient

HEALTH_SECONDS: Final = 3.0
"""SGLang answers its health endpoint in 1.00 to 1.03 s by construction; a time-out of 1 s killed healthy servers."""
PAGE_SECONDS: Final = 3.0
STATE_SECONDS: Final = 2.0
GATED_SECONDS: Final = 60.0
"""An endpoint that the engine does not offer is not asked for again before."""

_GATED: Final = frozenset({httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN, httpx.codes.METHOD_NOT_ALLOWED})
_GATED_ANSWER: Final = Answer(kind=AnswerKind.GATED)


class Endpoints:
    """Remembers which endpoints the engine does not offer."""

    def __init__(self, client: EngineClient, dialect: Dialect, clock: Callable[[], float]) -> None:
        self._client = client
        self._dialect = dialect
        self._clock = clock
        self._gated_until: dict[str, float] = {}

    async def health(self) -> HealthObservation:
        """Its status, and how long it took."""
        began = self._clock()
        answer = await self._client.call(self._dialect.health, seconds=HEALTH_SECONDS)
        seconds = self._clock() - began
        return HealthObservation(at=self._clock(), kind=answer.kind, http_status=answer.status, seconds=seconds)

    async def metrics(self, path: str, own_canaries: Callable[[], int]) -> MetricsObservation:
        """The metrics page."""
        own = own_canaries()
        answer = await self._get(path, PAGE_SECONDS)
        reading = self._dialect.read_metrics(answer.body.decode(errors="replace")) if answer.is_ok else None
        kind = AnswerKind.UNREADABLE if answer.is_ok and reading is None else answer.kind
        return MetricsObservation(at=self._clock(), kind=kind, reading=reading, own_canaries=max(own, own_canaries()))

    async def load(self, path: str) -> LoadObservation:
        """The count of requests."""
        answer = await self._get(path, PAGE_SECONDS)
        requests = self._dialect.read_load(answer.body) if answer.is_ok else None
        return LoadObservation(at=self._clock(), kind=answer.kind, requests=requests)

    async def state(self) -> StateObservation:
        """Asleep or paused; all endpoints that tell something of it."""
        said: dict[bool, bool | None] = {}
        kinds = [await self._ask_state(path, said) for path in self._dialect.state_paths]
        kind = next((kind for kind in kinds if kind is not AnswerKind.GATED), AnswerKind.GATED)
        return StateObservation(at=self._clock(), kind=kind, asleep=said.get(True), paused=said.get(False))

    async def _ask_state(self, path: StatePath, said: dict[bool, bool | None]) -> AnswerKind:
        answer = await self._get(path.path, STATE_SECONDS)
        said[path.tells_sleep] = path.read(answer.body) if answer.is_ok else None
        return answer.kind

    async def _get(self, path: str, seconds: float) -> Answer:
        now = self._clock()
        if now < self._gated_until.get(path, now):
            return _GATED_ANSWER
        answer = await self._client.get(path, seconds=seconds)
        if answer.status not in _GATED:
            return answer
        self._gated_until[path] = now + GATED_SECONDS
        return _GATED_ANSWER
