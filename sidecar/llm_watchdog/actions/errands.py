"""Orders that are carried out in a task of their own: at most once in this process, and what became of each."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from llm_watchdog.core.situation import OrderAnswer, OrderState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class Errands:
    """The newest order is remembered, so one at a time is to be given."""

    def __init__(self) -> None:
        self._answers: dict[str, OrderAnswer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, order: str, work: Callable[[], Awaitable[OrderAnswer]]) -> None:
        """Unless it was begun before."""
        if order in self._answers:
            return
        self._answers = {order: OrderAnswer(state=OrderState.PENDING)}
        task = asyncio.create_task(self._run(order, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def answer(self, order: str) -> OrderAnswer:
        """Absent: this process never began it."""
        return self._answers.get(order, OrderAnswer(state=OrderState.ABSENT))

    async def _run(self, order: str, work: Callable[[], Awaitable[OrderAnswer]]) -> None:
        try:
            answer = await work()
        except Exception as error:
            log.exception("order %s failed by the watchdog's own fault", order)
            answer = OrderAnswer(state=OrderState.REFUSED, message=f"the watchdog's own fault: {type(error).__name__}")
        log.info("order %s: %s, %s", order, answer.state, answer.message)
        self._answers[order] = answer
