"""Orders that are carried out in a task of their own: at most once in this process, and what became of each."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from llm_watchdog.core.situation import OrderAnswer, OrderState

log = logging.getLogger(__name__)


class Order(Protocol):
    """What is to be done, once."""

    @property
    def id(self) -> str:
        """Unique."""


OrderT = TypeVar("OrderT", bound=Order)
OrderT_contra = TypeVar("OrderT_contra", bound=Order, contravariant=True)


class Errand(Protocol[OrderT_contra]):
    """How the loop has an order carried out."""

    def carry_out(self, order: OrderT_contra) -> None:
        """Begin."""

    def answer(self, order: OrderT_contra) -> OrderAnswer:
        """What became of it."""


class Errands(ABC, Generic[OrderT]):
    """An `Errand`. The newest order is remembered, so one at a time is to be given."""

    def __init__(self) -> None:
        self._answers: dict[str, OrderAnswer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def work(self, order: OrderT) -> OrderAnswer:
        """Carry it out to its end."""

    def carry_out(self, order: OrderT) -> None:
        """Begin, unless it was begun before."""
        if order.id in self._answers:
            return
        self._answers = {order.id: OrderAnswer(state=OrderState.PENDING)}
        task = asyncio.create_task(self._run(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def answer(self, order: OrderT) -> OrderAnswer:
        """Absent: this process never began it."""
        return self._answers.get(order.id, OrderAnswer(state=OrderState.ABSENT))

    async def _run(self, order: OrderT) -> None:
        try:
            answer = await self.work(order)
        except Exception as error:
            log.exception("order %s failed by the watchdog's own fault", order.id)
            answer = OrderAnswer(state=OrderState.REFUSED, message=f"the watchdog's own fault: {type(error).__name__}")
        log.info("order %s: %s, %s", order.id, answer.state, answer.message)
        self._answers[order.id] = answer
