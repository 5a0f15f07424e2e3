"""Programs of a system: started in a group of their own, waited for, ended by their own ids.

A program's group is ended with its owner's `with` block, so also on Ctrl-C; `guard` is for what no block sees.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Final, Self

from e2e.images.programs import say
from e2e.systems.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LOOPBACK: Final = "127.0.0.1"
STOP_SECONDS: Final = 2.0
"""For SIGTERM. A FastChat or DB-GPT with an open stream waits for it for ever, so that SIGKILL is the normal end."""
REMIND_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.1
LOG_TAIL: Final = 3000


class NotUpError(Exception):
    """A program ended, or did not answer in time; the message has the end of its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@cache
def _guard() -> Guard:
    """Of this process, and ended with it. Where no exit handler runs, the pipe's closing says the same."""
    guard = Guard()
    atexit.register(guard.close)
    return guard


class Program:
    """One command, which may be started again; what it says goes to `<folder>/<name>.log`.

    Its standard output goes to `out` instead, where that is given.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        env: Mapping[str, str] | None = None,
        *,
        out: Path | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._out = out or self.log
        self._command = list(command)
        self._folder = folder
        self._env = {**_clean_environment(), "HOME": str(folder), **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        with self.log.open("ab") as log, self._out.open("ab") as out:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )
        _guard().started(self.pid)

    def signal(self, number: int) -> None:
        """To the program itself, not to its children."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """The whole group; what does not end by itself is killed."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
            os.killpg(self.pid, signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        _guard().ended(self.pid)
        self._process = None

    def wait_up(self, answers: Callable[[], bool], seconds: float) -> None:
        """Until it answers. Raises `NotUpError` if it ends before that, or takes longer."""
        began = reminded = time.monotonic()
        while not answers():
            now = time.monotonic()
            if self.code is not None:
                raise NotUpError(f"{self.name} ended with {self.code}:\n{self.log_tail()}")
            if now - began > seconds:
                raise NotUpError(f"{self.name} did not answer within {seconds:.0f} s:\n{self.log_tail()}")
            if now - reminded > REMIND_SECONDS:
                say(f"{self.name}: not up yet after {now - began:.0f} s")
                reminded = now
            time.sleep(POLL_SECONDS)

    def wait(self, seconds: float) -> int:
        """Until it ends by itself; its exit code. Raises `NotUpError` if it does not."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise NotUpError(f"{self.name} did not end within {seconds:.0f} s:\n{self.log_tail()}") from error

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_TAIL:]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _clean_environment() -> dict[str, str]:
    """Of this process, without what would lead another interpreter to this one's packages."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST")
    return {name: value for name, value in os.environ.items() if name not in ours}
