"""The fault engine's EngineCore in the event loop instead of in a process: the same turns, on the loop's clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from e2e.fault_engine.core_loop import CoreLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.fault_engine.core_line import Hear
    from e2e.fault_engine.core_loop import Message
    from e2e.fault_engine.limits import Limits


class CoreInLoop:
    """A `CoreLine`."""

    pid = 0

    def __init__(self, limits: Limits, hear: Hear, died: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._died = died
        self._dead = False
        self._alarm: asyncio.TimerHandle | None = None
        self._core = CoreLoop(limits, self._loop.time(), send=lambda message: self._later(hear, message), die=self._die)
        self._turn()

    def send(self, message: Message) -> None:
        self._loop.call_soon(self._hear, message)

    async def stop(self) -> None:
        self._die()

    def _later(self, hear: Hear, message: Message) -> None:
        if not self._dead:
            self._loop.call_soon(hear, message)

    def _hear(self, message: Message) -> None:
        if not self._dead:
            self._core.hear(message, self._loop.time())
            self._turn()

    def _turn(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._core.turn(self._loop.time())
        due = None if self._dead else self._core.due_at()
        if due is not None:
            self._alarm = self._loop.call_at(due, self._turn)

    def _die(self) -> None:
        if not self._dead:
            self._dead = True
            if self._alarm is not None:
                self._alarm.cancel()
            self._loop.call_soon(self._died)


async def start_in_loop(limits: Limits, hear: Hear, died: Callable[[], None]) -> CoreInLoop:
    """A `Connect`."""
    return CoreInLoop(limits, hear, died)
