"""Empties the engine's prefix cache: one call, in the dialect's words. Whether it helped, the checks say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from llm_watchdog.actions.answers import failed
from llm_watchdog.actions.errands import Errand, Errands
from llm_watchdog.core.case import FlushOrder
from llm_watchdog.core.situation import OrderAnswer, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from llm_watchdog.engines.dialect import Dialect, Flush
    from llm_watchdog.probes.engine_client import Answer, EngineClient

FLUSH_SECONDS: Final = 30.0
"""It takes milliseconds; an engine that is busy after all may queue it."""
SETTLE_SECONDS: Final = 0.5
"""A canary that was withdrawn for it has to leave the engine first, at a step's end."""
ATTEMPTS: Final = 10
"""Until the engine finds itself idle, each after that long."""


class FlushAction(Errand[FlushOrder], Protocol):
    """How the loop has a cache flushed."""

    @property
    def possible(self) -> bool:
        """This kind of engine has a call for it."""


class CacheFlush(Errands[FlushOrder]):
    """A `FlushAction`. While `aside` is held nothing of ours runs in the engine.

    `flushed` is called before the answer is given, so that no older check is taken for a proof.
    """

    def __init__(
        self,
        client: EngineClient,
        dialect: Dialect,
        *,
        aside: Callable[[], AbstractAsyncContextManager[None]],
        flushed: Callable[[], None],
    ) -> None:
        super().__init__()
        self._client = client
        self._dialect = dialect
        self._aside = aside
        self._flushed = flushed

    @property
    def possible(self) -> bool:
        """The dialect knows a call."""
        return self._dialect.flush is not None

    async def work(self, order: FlushOrder) -> OrderAnswer:
        """The same for every order."""
        del order
        way = self._dialect.flush
        if way is None:
            return OrderAnswer(state=OrderState.UNAVAILABLE, message="it has no call for it")
        async with self._aside():
            state, message = await self._try(way)
            if state is OrderState.HONOURED:
                self._flushed()
        return OrderAnswer(state=state, message=message)

    async def _try(self, way: Flush) -> tuple[OrderState, str]:
        state, message = OrderState.REFUSED, ""
        for _ in range(ATTEMPTS):
            await asyncio.sleep(SETTLE_SECONDS)
            answer = await self._client.call(way.call, seconds=FLUSH_SECONDS)
            state, message = failed(answer, way.needs) or self._believed(answer)
            if state is not OrderState.REFUSED or answer.status is None:
                break
        return state, message

    def _believed(self, answer: Answer) -> tuple[OrderState, str]:
        refusal = self._dialect.read_flush(answer.body)
        return (OrderState.REFUSED, refusal) if refusal else (OrderState.HONOURED, "the prefix cache was flushed")
