"""Aborts the watchdog's own requests in the engine, by their full ids and never by anything less.

Closing the connection is what ends a canary; this is for those that the engine goes on with all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from llm_watchdog.actions.answers import failed
from llm_watchdog.actions.errands import Errand, Errands
from llm_watchdog.core.case import AbortOrder
from llm_watchdog.core.situation import OrderAnswer, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from llm_watchdog.engines.dialect import Dialect
    from llm_watchdog.probes.engine_client import EngineClient
    from llm_watchdog.probes.unended import Unended

CALL_SECONDS: Final = 5.0
"""It takes milliseconds; behind a step that hangs it never comes."""


class AbortAction(Errand[AbortOrder], Protocol):
    """How the loop has own requests aborted."""

    @property
    def abortable(self) -> int:
        """Own requests that may still run in it, where this kind of engine has a call for it."""


class RequestAbort(Errands[AbortOrder]):
    """An `AbortAction`. What is outstanding is withdrawn before, as it may be what hangs."""

    def __init__(
        self,
        client: EngineClient,
        dialect: Dialect,
        unended: Unended,
        *,
        aside: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        super().__init__()
        self._client = client
        self._dialect = dialect
        self._unended = unended
        self._aside = aside

    @property
    def abortable(self) -> int:
        """None where the dialect has no call."""
        return len(self._unended.ids) if self._dialect.abort_needs else 0

    async def work(self, order: AbortOrder) -> OrderAnswer:
        """The same for every order: all that may still run."""
        del order
        async with self._aside():
            ids = self._unended.ids
            state, message = await self._call(ids)
        if state is OrderState.HONOURED:
            self._unended.forget(ids)
        return OrderAnswer(state=state, message=message)

    async def _call(self, ids: tuple[str, ...]) -> tuple[OrderState, str]:
        calls = self._dialect.abort(ids)
        if not calls:
            return OrderState.UNAVAILABLE, "no request of ours is known that may still run in it"
        for call in calls:
            answer = await self._client.call(call, seconds=CALL_SECONDS)
            why = failed(answer, self._dialect.abort_needs)
            if why is not None:
                return why
            if refusal := self._dialect.read_abort(answer.body):
                return OrderState.REFUSED, refusal
        return OrderState.HONOURED, f"{len(ids)} requests of ours were aborted by their ids"
