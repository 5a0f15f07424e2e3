"""Sends one canary and tells how far it comes, token by token. Cancelling it closes the connection, which aborts it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import httpx
from httpx_sse import EventSource

from llm_watchdog.core.observations import AnswerKind, CanaryObservation, CanaryOutcome
from llm_watchdog.engines.dialect import FINISHED, Call, StreamEvent
from llm_watchdog.engines.json_bodies import json_object
from llm_watchdog.probes.engine_client import DETAIL_MAX, BodyTooLargeError, EngineClient, bound, failure, read_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from llm_watchdog.engines.dialect import Dialect

    Report = Callable[[CanaryObservation], None]

STREAM_MAX_BYTES: Final = 1024 * 1024
"""A few tokens with all their trimmings take some kilobytes."""
EVENT_STREAM: Final = "text/event-stream"

_OUTCOMES: Final = {
    AnswerKind.REFUSED: CanaryOutcome.REFUSED,
    AnswerKind.CUT: CanaryOutcome.INCOMPLETE,
    AnswerKind.UNREADABLE: CanaryOutcome.INCOMPLETE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryOrder:
    """What to send, and under which name it is observed."""

    id: str
    shape: str
    call: Call
    timeout: float


class CanaryProbe:
    """One at a time; the watcher sees to that."""

    def __init__(self, client: EngineClient, dialect: Dialect, clock: Callable[[], float]) -> None:
        self._client = client
        self._dialect = dialect
        self._clock = clock

    async def send(self, order: CanaryOrder, report: Report) -> CanaryObservation:
        """Report when it is sent, on its first token, and at its end."""
        run = _Run(CanaryObservation(id=order.id, shape=order.shape, started_at=self._clock()), self._clock, report)
        try:
            async with asyncio.timeout(order.timeout):
                await self._ask(order.call, run)
        except TimeoutError:
            outcome = CanaryOutcome.TOKEN_GAP if run.seen.tokens else CanaryOutcome.NO_FIRST_TOKEN
            run.end(outcome, f"cancelled after {order.timeout:g} s")
        except (httpx.HTTPError, BodyTooLargeError, OSError) as error:
            answer = failure(error)
            run.end(_OUTCOMES.get(answer.kind, CanaryOutcome.NOT_SENT), answer.detail)
        except BaseException as error:
            # Withdrawn, or our own bug: either way it must not stand as one that the engine never answered.
            withdrawn = isinstance(error, asyncio.CancelledError)
            run.end(CanaryOutcome.WITHDRAWN if withdrawn else CanaryOutcome.NOT_SENT, type(error).__name__)
            raise
        return run.seen

    async def _ask(self, call: Call, run: _Run) -> None:
        async with self._client.stream(call) as response:
            run.status(response.status_code)
            if response.status_code != httpx.codes.OK:
                body = await read_body(response)
                is_ours = response.status_code < httpx.codes.INTERNAL_SERVER_ERROR
                run.end(CanaryOutcome.REJECTED if is_ours else CanaryOutcome.SERVER_ERROR, _reason(body))
                return
            async for event in self._events(response):
                if run.take(event):
                    return
            run.end(CanaryOutcome.INCOMPLETE, "ended without a finish reason")

    async def _events(self, response: httpx.Response) -> AsyncIterator[StreamEvent]:
        bound(response, STREAM_MAX_BYTES)
        if EVENT_STREAM not in response.headers.get("content-type", ""):
            event = self._dialect.read_event((await response.aread()).decode(errors="replace"))
            if event is not None:
                yield event
            return
        async for line in EventSource(response).aiter_sse():
            event = self._dialect.read_event(line.data)
            if event is not None:
                yield event


class _Run:
    """The observation as it grows."""

    def __init__(self, seen: CanaryObservation, clock: Callable[[], float], report: Report) -> None:
        self.seen = seen
        self._clock = clock
        self._report = report
        report(seen)

    def status(self, status: int) -> None:
        """Headers came; they prove nothing about the engine."""
        self.seen = replace(self.seen, http_status=status)

    def take(self, event: StreamEvent) -> bool:
        """Add an event; True when it was the last one that matters."""
        if event.error is not None:
            if event.error_status is not None:
                self.status(event.error_status)
            self.end(CanaryOutcome.ERROR_IN_STREAM, event.error)
            return True
        # A model that stops at once has generated its end-of-text token, though no text.
        stopped_at_once = event.finish in FINISHED and not self.seen.tokens
        tokens = event.tokens or int(stopped_at_once)
        if tokens:
            self._count(tokens)
        if event.finish in FINISHED:
            self.end(CanaryOutcome.SUCCEEDED)
        elif event.finish is not None:
            self.end(CanaryOutcome.INCOMPLETE, f"finish reason {event.finish[:DETAIL_MAX]}")
        return event.finish is not None

    def end(self, outcome: CanaryOutcome, detail: str = "") -> None:
        """Nothing more comes."""
        self.seen = replace(self.seen, outcome=outcome, finished_at=self._clock(), detail=detail)
        self._report(self.seen)

    def _count(self, tokens: int) -> None:
        now = self._clock()
        first = now if self.seen.first_token_at is None else self.seen.first_token_at
        self.seen = replace(self.seen, tokens=self.seen.tokens + tokens, first_token_at=first, last_token_at=now)
        self._report(self.seen)


def _reason(body: bytes) -> str:
    error = json_object(body).get("error", json_object(body).get("detail"))
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or "")[:DETAIL_MAX]
