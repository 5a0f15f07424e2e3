"""A seam around each write to the API server, so that a test can end the process before or after any of them."""

from __future__ import annotations

import os
import signal
from typing import Protocol


class WriteObserver(Protocol):
    """Told of every write that is not a dry run and not the Lease's."""

    def before(self, what: str) -> None: ...

    def after(self, what: str) -> None: ...


class CrashAt:
    """`before:3` or `after:3`: ends the process as `kill -9` does, around its third write."""

    def __init__(self, place: str) -> None:
        side, _, number = place.partition(":")
        if side not in {"before", "after"} or not number.isdigit():
            raise ValueError(f"{place!r} is no place to crash at: write it as before:3 or after:3")
        self._side = side
        self._left = int(number)

    def before(self, what: str) -> None:
        self._left -= 1
        self._crash("before", what)

    def after(self, what: str) -> None:
        self._crash("after", what)

    def _crash(self, side: str, what: str) -> None:
        if self._left == 0 and side == self._side:
            os.write(2, f"crash {side} {what}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def crash_observers(place: str) -> list[WriteObserver]:
    """None in the ordinary case."""
    return [CrashAt(place)] if place else []
