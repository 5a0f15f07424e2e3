"""An event loop whose clock leaps to the next timer: nothing waits, and nothing depends on the machine's speed.

looptime does the same and more; for hours of simulated looking its step costs 17 times as much.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import selectors
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


T = TypeVar("T")


TURN_SECONDS: Final = 1e-7
"""Of each turn of the loop: who waits for less than a float can tell waits for ever where no time passes."""


class StandstillError(RuntimeError):
    """Everybody waits for something that nobody will do."""


class _Leap(selectors.SelectSelector):
    """There is no I/O: instead of waiting for it, the time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise StandstillError("no timer is set and nothing is ready")
        self.now += max(timeout, TURN_SECONDS)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Seconds since it was made. What is handed to a thread is done at once."""

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)

    def time(self) -> float:
        return self._leap.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        del executor
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits it gets it
            done.set_exception(error)
        return done


def run(work: Callable[[], Coroutine[Any, Any, T]], seed: str) -> T:
    """To its end, on a clock and with a luck of its own. Not from within another event loop."""
    loop = VirtualLoop()
    with _steered(loop, seed):
        try:
            return loop.run_until_complete(work())
        finally:
            loop.run_until_complete(_end_all())
            loop.close()


async def _end_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@contextmanager
def _steered(loop: VirtualLoop, seed: str) -> Iterator[None]:
    """Clock and luck of the whole process: the product's code runs unchanged, and every run can be had again."""
    luck = random.Random(seed)  # noqa: S311 - of a simulation
    with ExitStack() as stack:
        for module, name, instead in (
            (time, "monotonic", loop.time),
            (os, "urandom", luck.randbytes),
            (secrets, "token_hex", lambda size=16: luck.randbytes(size).hex()),
        ):
            stack.enter_context(patch.object(module, name, instead))
        yield
