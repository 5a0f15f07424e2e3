"""Puts the engine to sleep and wakes it: the dialect's calls in their order, and nothing of ours in it meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from llm_watchdog.actions.answers import failed
from llm_watchdog.actions.errands import Errand, Errands
from llm_watchdog.actions.flush import SETTLE_SECONDS
from llm_watchdog.core.observations import AnswerKind
from llm_watchdog.core.power import PowerOrder
from llm_watchdog.core.situation import OrderAnswer, OrderState
from llm_watchdog.engines.forbidden import Fact

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from llm_watchdog.engines.dialect import Call, Dialect
    from llm_watchdog.engines.power import PowerWays
    from llm_watchdog.probes.engine_client import Answer, EngineClient

CALL_SECONDS: Final = 600.0
"""Weights are read from a disk again in a wake of level 2, as in a model load."""
UNDO_SECONDS: Final = 10.0
"""It answers at once, or hangs."""


class PowerAction(Errand[PowerOrder], Protocol):
    """How the loop has an engine put to sleep and woken."""

    @property
    def possible(self) -> bool:
        """This kind of engine has calls for it."""


class EnginePower(Errands[PowerOrder]):
    """A `PowerAction`. While `aside` is held nothing of ours runs in the engine.

    `wake_failed` is called before the answer is given, so that the verdict knows as soon as the loop does.
    """

    def __init__(
        self,
        client: EngineClient,
        dialect: Dialect,
        *,
        aside: Callable[[], AbstractAsyncContextManager[None]],
        wake_failed: Callable[[], None],
    ) -> None:
        super().__init__()
        self._client = client
        self._dialect = dialect
        self._aside = aside
        self._wake_failed = wake_failed

    @property
    def possible(self) -> bool:
        """The dialect knows the calls."""
        return self._dialect.power is not None

    async def work(self, order: PowerOrder) -> OrderAnswer:
        """Until the last call, or the first that fails."""
        ways = self._dialect.power
        if ways is None:
            return OrderAnswer(state=OrderState.UNAVAILABLE, message="it has no calls for sleep and wake")
        calls = (ways.sleep if order.asleep else ways.wake)[order.level]
        known = frozenset({Fact.RELEASED} if order.released else ())
        async with self._aside():
            await asyncio.sleep(SETTLE_SECONDS)
            for call in calls:
                answer = await self._client.call(call, seconds=CALL_SECONDS, known=known)
                why = self._failure(call, answer, ways.needs)
                if why is not None:
                    # Carried out or not: it hung, or the connection was cut.
                    unknown = call is calls[-1] and answer.kind in (AnswerKind.SILENT, AnswerKind.CUT)
                    await self._take_back(order, ways, unknown=unknown)
                    return replace(why, state=OrderState.TIMED_OUT) if unknown else why
                known |= {ways.proves[call.path]} if call.path in ways.proves else set()
        done = "put to sleep" if order.asleep else "woken"
        return OrderAnswer(state=OrderState.HONOURED, message=f"{done}, level {order.level}")

    async def _take_back(self, order: PowerOrder, ways: PowerWays, *, unknown: bool) -> None:
        """After a call that failed. `unknown`: the engine may sleep all the same, and then it must not go on."""
        if not order.asleep:
            self._wake_failed()
            return
        for call in () if unknown else ways.stays_awake:
            await self._client.call(call, seconds=UNDO_SECONDS, known=frozenset({Fact.AWAKE}))

    def _failure(self, call: Call, answer: Answer, needs: str) -> OrderAnswer | None:
        said = f"{call.method} {call.path}"
        why = failed(answer, needs)
        if why is not None:
            return OrderAnswer(state=why[0], message=f"{said}: {why[1]}")
        flush = self._dialect.flush
        refusal = self._dialect.read_flush(answer.body) if flush is not None and call == flush.call else ""
        return OrderAnswer(state=OrderState.REFUSED, message=f"{said}: {refusal}") if refusal else None
