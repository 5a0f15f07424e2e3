"""The web server's own limit, in the dialects that have one: FastChat, DB-GPT and TGI."""

import asyncio
from collections import deque


class Permits:
    """`sticky`: a waiter stays in the queue although its client has left, as FastChat's do."""

    def __init__(self, limit: int, *, sticky: bool) -> None:
        self._limit = limit
        self._sticky = sticky
        self._waiters: deque[asyncio.Future[None]] = deque()
        self.in_use = 0

    @property
    def queue_length(self) -> int:
        """Users and waiters together."""
        return self.in_use + len(self._waiters)

    @property
    def free(self) -> bool:
        return self.in_use < self._limit

    async def acquire(self) -> None:
        if self.free and not self._waiters:
            self.in_use += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await asyncio.shield(waiter)
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def release(self) -> None:
        self.in_use -= 1
        if self._waiters and self.free:
            self.in_use += 1
            self._waiters.popleft().set_result(None)

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        if waiter.done():
            self.release()  # granted at the same moment
        elif self._sticky:
            waiter.add_done_callback(lambda _: self.release())  # its turn comes, for nobody
        else:
            self._waiters.remove(waiter)
