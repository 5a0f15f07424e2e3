"""A work queue of keys: one at a time per key, no duplicates, back-off with jitter per key. Knows no Kubernetes."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K")

JITTER = 0.2
"""Share by which a back-off may be longer or shorter, so that keys that failed together do not come back together."""


class WorkQueue(Generic[K]):
    """As client-go's: a key that is added while it is being worked on is handed out again afterwards."""

    def __init__(
        self, *, backoff_seconds: float, backoff_max_seconds: float, noise: Callable[[], float] = random.random
    ) -> None:
        self._backoff = backoff_seconds
        self._backoff_max = backoff_max_seconds
        self._noise = noise
        self._waiting: dict[K, float] = {}
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._order: asyncio.Queue[K] = asyncio.Queue()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: K) -> None:
        """To be worked on as soon as possible, except while it backs off: then an event does not shorten the wait."""
        if key in self._failures and key in self._timers:
            return
        self._cancel(key)
        self._push(key)

    def add_after(self, key: K, seconds: float) -> None:
        """To be looked at again; the earlier of two such wishes counts."""
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, seconds)
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= at:
            return
        self._cancel(key)
        self._timers[key] = loop.call_at(at, self._due, key)

    async def get(self) -> K:
        """The key that has waited longest."""
        key = await self._order.get()
        del self._waiting[key]
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """Worked on without an error: the back-off starts anew next time."""
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: K) -> float:
        """Worked on in vain; returns the seconds until it is handed out again."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        exact: float = min(self._backoff * 2.0 ** min(failures, 30), self._backoff_max)
        delay = exact * (1 + JITTER * (2 * self._noise() - 1))
        self._again.discard(key)
        self._working.discard(key)
        self._cancel(key)
        self.add_after(key, delay)
        return delay

    def oldest_seconds(self) -> float:
        """How long the oldest key has been waiting to be taken up."""
        if not self._waiting:
            return 0.0
        return asyncio.get_running_loop().time() - next(iter(self._waiting.values()))

    def _push(self, key: K) -> None:
        if key in self._working:
            self._again.add(key)
            return
        if key in self._waiting:
            return
        self._waiting[key] = asyncio.get_running_loop().time()
        self._order.put_nowait(key)

    def _release(self, key: K) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self._push(key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self._push(key)

    def _cancel(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
