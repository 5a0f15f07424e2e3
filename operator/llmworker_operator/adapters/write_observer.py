"""A seam around each write to the API server, so that a test can end the process before or after any of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Protocol


class WriteObserver(Protocol):
    """Told of every write that is not a dry run and not the Lease's.

    The Lease is written every few seconds for ever, by a client of its own: a process that ends there would never come
    to any other write. What an end does to the Lease has tests of its own.
    """

    def before(self, what: str) -> None: ...

    def after(self, what: str) -> None: ...


class CrashAround:
    """`before:FILE` or `after:FILE`: ends the process as `kill -9` does, around every write once. `never:FILE`: not.

    The file outlives the process, and tells the next one where it died: `crash WHAT` for each end, `begin WHAT` and
    `done WHAT` for each write. Before a write that was died for and has not been made since, nobody dies again.
    """

    def __init__(self, place: str) -> None:
        side, _, file = place.partition(":")
        if side not in {"before", "after", "never"} or not file:
            raise ValueError(f"{place!r} is no place to crash at: write it as before:FILE, after:FILE or never:FILE")
        self._side = side
        self._file = Path(file)
        self._spared: set[str] = set()
        for line in self._file.read_text().splitlines() if self._file.exists() else ():
            happened, _, what = line.partition(" ")
            if happened != "begin":
                (self._spared.add if happened == "crash" else self._spared.discard)(what)

    def before(self, what: str) -> None:
        if self._side == "before" and what not in self._spared:
            self._crash(what)
        self._note("begin", what)

    def after(self, what: str) -> None:
        self._note("done", what)
        self._spared.discard(what)
        if self._side == "after":
            self._crash(what)

    def _crash(self, what: str) -> None:
        self._note("crash", what)
        os.kill(os.getpid(), signal.SIGKILL)

    def _note(self, happened: str, what: str) -> None:
        with self._file.open("a") as file:
            file.write(f"{happened} {what}\n")


def crash_observers(place: str) -> list[WriteObserver]:
    """None in the ordinary case."""
    return [CrashAround(place)] if place else []
