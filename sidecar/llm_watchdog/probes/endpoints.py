"""The plain endpoints of the engine, each turned into an observation: health, metrics, load, sleep state, status."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import httpx

from llm_watchdog.core.observations import (
    AnswerKind,
    HealthObservation,
    LoadObservation,
    MetricsObservation,
    StateObservation,
    StatusObservation,
)
from llm_watchdog.engines.dialect import Call
from llm_watchdog.probes.engine_client import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_watchdog.core.observations import StatusReading
    from llm_watchdog.engines.dialect import Dialect, StatePath, StatusCall
    from llm_watchdog.probes.engine_client import EngineClient

HEALTH_SECONDS: Final = 3.0
"""SGLang answers its health endpoint in 1.00 to 1.03 s by construction; a time-out of 1 s killed healthy servers."""
PAGE_SECONDS: Final = 3.0
STATE_SECONDS: Final = 2.0
GATED_SECONDS: Final = 60.0
"""An endpoint that the engine does not offer is not asked for again before."""

_GATED: Final = frozenset(
    {
        httpx.codes.NOT_FOUND,
        httpx.codes.FORBIDDEN,
        httpx.codes.METHOD_NOT_ALLOWED,
        httpx.codes.NOT_IMPLEMENTED,  # llama.cpp without --metrics
    }
)
_GATED_ANSWER: Final = Answer(kind=AnswerKind.GATED)


class Endpoints:
    """Remembers which endpoints the engine does not offer."""

    def __init__(
        self, client: EngineClient, dialect: Dialect, clock: Callable[[], float], own_streams: Callable[[], int]
    ) -> None:
        self._client = client
        self._dialect = dialect
        self._clock = clock
        self._own_streams = own_streams
        self._gated_until: dict[str, float] = {}

    async def health(self) -> HealthObservation:
        """Its status, and how long it took."""
        began = self._clock()
        answer = await self._client.call(self._dialect.health, seconds=HEALTH_SECONDS)
        seconds = self._clock() - began
        return HealthObservation(at=self._clock(), kind=answer.kind, http_status=answer.status, seconds=seconds)

    async def metrics(self, path: str) -> MetricsObservation:
        """The metrics page."""
        own = self._own_streams()
        answer = await self._get(path, PAGE_SECONDS)
        reading = self._dialect.read_metrics(answer.body.decode(errors="replace")) if answer.is_ok else None
        kind = AnswerKind.UNREADABLE if answer.is_ok and reading is None else answer.kind
        return MetricsObservation(
            at=self._clock(), kind=kind, reading=reading, own_canaries=max(own, self._own_streams())
        )

    async def load(self, path: str) -> LoadObservation:
        """The count of requests."""
        answer = await self._get(path, PAGE_SECONDS)
        requests = self._dialect.read_load(answer.body) if answer.is_ok else None
        return LoadObservation(at=self._clock(), kind=answer.kind, requests=requests)

    async def state(self, *, seconds: float = STATE_SECONDS) -> StateObservation:
        """Asleep or paused; all endpoints that tell something of it."""
        paths = self._dialect.state_paths
        asked = await asyncio.gather(*(self._ask_state(path, seconds) for path in paths))
        kind = next((kind for kind, _ in asked if kind is not AnswerKind.GATED), AnswerKind.GATED)
        said = {path.tells_sleep: yes for path, (_, yes) in zip(paths, asked, strict=True)}
        return StateObservation(at=self._clock(), kind=kind, asleep=said.get(True), paused=said.get(False))

    async def _ask_state(self, path: StatePath, seconds: float) -> tuple[AnswerKind, bool | None]:
        answer = await self._get(path.path, seconds)
        said = path.read(answer.status, answer.body)
        if said and path.confirmed_by and not (await self._get(path.confirmed_by, seconds)).is_ok:
            said = None
        return answer.kind, said

    async def status(self, call: StatusCall, model: str | None, *, seconds: float | None = None) -> StatusObservation:
        """One of the dialect's own. `model`: the one under watch. `seconds`: a shorter time-out than the call's."""
        began, own, answer = self._clock(), self._own_streams(), _GATED_ANSWER
        for known in (call.call, *call.older):
            answer = await self._ask(known, call.seconds if seconds is None else min(seconds, call.seconds))
            if answer.kind is not AnswerKind.GATED:
                break
        reading = self._dialect.read_status(call.name, answer.body) if answer.is_ok else None
        kind = AnswerKind.UNREADABLE if answer.is_ok and reading is None else answer.kind
        return StatusObservation(
            at=self._clock(),
            name=call.name,
            kind=kind,
            reading=None if reading is None else _resident(reading, model),
            seconds=self._clock() - began,
            http_status=answer.status,
            takes_slot=call.takes_slot,
            own_canaries=max(own, self._own_streams()),
        )

    async def _get(self, path: str, seconds: float) -> Answer:
        return await self._ask(Call(method="GET", path=path), seconds)

    async def _ask(self, call: Call, seconds: float) -> Answer:
        now = self._clock()
        if now < self._gated_until.get(call.path, now):
            return _GATED_ANSWER
        answer = await self._client.call(call, seconds=seconds)
        if answer.status not in _GATED:
            return answer
        self._gated_until[call.path] = now + GATED_SECONDS
        return _GATED_ANSWER


def _resident(reading: StatusReading, model: str | None) -> StatusReading:
    """Only the model under watch counts: a request for it would load it, and might push another one out."""
    if reading.loaded is None:
        return reading
    return replace(reading, unloaded=not reading.loaded if model is None else model not in reading.loaded)
