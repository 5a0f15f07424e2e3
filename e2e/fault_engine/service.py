"""What the endpoints share: settings, the engine behind them, and the state of the API server itself."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from time import time
from typing import Any

from .core_client import CoreClient
from .errors import ApiError
from .exchange import Exchange
from .fault_board import FaultBoard
from .generation import Terms
from .meter import Meter
from .permits import Permits
from .settings import Settings


@dataclass(slots=True)
class Service:
    settings: Settings
    core: CoreClient
    meter: Meter
    board: FaultBoard
    terms: Terms
    permits: Permits | None = None
    overload: Callable[[], ApiError] | None = None
    """How a request is refused when no permit is free; None: it waits."""
    created: int = field(default_factory=lambda: int(time()))
    load: int = 0  # generations between arrival and end, whatever the engine does with them
    stopping: bool = False
    unloaded: bool = False  # the model was put out of memory
    paused: bool = False  # SGLang: by its own call, which another one ends
    released: bool = False  # and its memory
    entered: str | None = None  # the state that a fault has put it into
    _background: set[asyncio.Task[None]] = field(default_factory=set)

    async def take_permit(self) -> None:
        if self.permits is None:
            return
        if self.overload is not None and not self.permits.free:
            self.meter.count_rejection()
            raise self.overload()
        await self.permits.acquire()

    def give_permit(self) -> None:
        if self.permits is not None:
            self.permits.release()

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


Endpoint = Callable[[Service, Exchange], Awaitable[None]]
Routes = dict[tuple[str, str], Endpoint]  # by method and path
