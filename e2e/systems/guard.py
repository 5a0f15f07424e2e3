"""Ends what a killed test run leaves behind.

One small process that reads from a pipe which process groups run. When the pipe closes, because the test process has
ended in whatever way, the groups that are still on its list are killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Final, TextIO

STARTED: Final = "+"
ENDED: Final = "-"


class Guard:
    """The pipe's other end. A group's id is its leader's process id, and only groups of our own are named."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    @property
    def pid(self) -> int:
        """Of the guard's own process."""
        return self._process.pid

    def started(self, group: int) -> None:
        self._tell(STARTED, group)

    def ended(self, group: int) -> None:
        self._tell(ENDED, group)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, word: str, group: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}{group}\n")
        self._process.stdin.flush()


def main(orders: TextIO) -> None:
    groups: set[int] = set()
    for line in orders:
        change = groups.add if line.startswith(STARTED) else groups.discard
        change(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.stdin)
