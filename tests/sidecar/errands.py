"""An action's way with an order, and whether anything of ours may run in the engine meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from llm_watchdog.core.situation import OrderAnswer, OrderState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from llm_watchdog.actions.errands import Errand, OrderT


class Aside:
    """`now`: everything of ours is held out of the engine."""

    def __init__(self) -> None:
        self.now = False

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[None]:
        self.now = True
        yield
        self.now = False


async def carried_out(
    action: Errand[OrderT], order: OrderT, meanwhile: Callable[[], None] = lambda: None
) -> OrderAnswer:
    """The answer in the end. Told twice, it does it once."""
    assert action.answer(order).state is OrderState.ABSENT
    action.carry_out(order)
    action.carry_out(order)
    while action.answer(order).state is OrderState.PENDING:
        meanwhile()
        await asyncio.sleep(0)
    return action.answer(order)
