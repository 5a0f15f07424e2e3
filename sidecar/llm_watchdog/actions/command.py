"""Restart by a command of the user's: one string for `sh -c`, and exit code 0 says that the restart was accepted.

Each order runs the command at most once, whatever is killed when: it is used up durably before the command starts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llm_watchdog import orders
from llm_watchdog.core.situation import OrderAnswer, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from llm_watchdog.core.case import Order

STDERR: Final = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Run:
    order: str
    process: subprocess.Popen[bytes]
    began: float


class CommandRestart:
    """A `RestartAction`. The command is looked after whenever the loop asks what became of its order.

    Without a command `Restart` is `Unavailable` and nothing is ordered; an order of an earlier process, which had one,
    is still answered for.
    """

    def __init__(self, command: str | None, timeout: float, journal_dir: Path, now: Callable[[], datetime]) -> None:
        self._command = command
        self._timeout = timeout
        self._directory = str(journal_dir)
        self._now = now
        self._running: _Run | None = None
        self._answers: dict[str, OrderAnswer] = {}

    def carry_out(self, order: Order) -> None:
        """Use the order up, then start the command. Raises OSError when it could not be used up: nothing has begun."""
        if self._command is None:
            raise OSError("no restart command was named")
        self._look_after()
        if self._running is not None:
            self._answer(order.id, OrderState.REFUSED, "the command of an earlier order is still running")
            return
        now = self._now().timestamp()
        orders.give(self._directory, order.id, now)
        refusal = orders.honour(self._directory, now)
        if refusal:
            log.error("restart command not run: %s", refusal)
            return
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", self._command],
                stdin=subprocess.DEVNULL,
                stdout=STDERR,  # our own standard output belongs to the JSON lines
                start_new_session=True,  # it outlives us, and can be ended with all that it started
            )
        except OSError as error:
            self._answer(order.id, OrderState.REFUSED, f"the command could not be started: {error}")
            return
        self._answers[order.id] = OrderAnswer(state=OrderState.PENDING)
        self._running = _Run(order.id, process, time.monotonic())

    def answer(self, order: Order) -> OrderAnswer:
        """What became of it. A command that an earlier process started counts as accepted: the engine will tell."""
        self._look_after()
        if order.id in self._answers:
            return self._answers[order.id]
        answered, refusal = orders.answer(self._directory)
        if answered != order.id:
            return OrderAnswer(state=OrderState.ABSENT)
        if refusal:
            return OrderAnswer(state=OrderState.REFUSED, message=f"refused: {refusal}")
        return OrderAnswer(state=OrderState.HONOURED)

    def withdraw(self) -> None:
        """A command that runs is not called back; its time-out still holds."""
        self._look_after()

    def _look_after(self) -> None:
        run = self._running
        if run is None:
            return
        code = run.process.poll()
        if code is not None:
            self._running = None
            self._ended(run.order, code)
        elif time.monotonic() - run.began >= self._timeout:
            message = f"the command did not end within {self._timeout:g} s and was ended"
            self._answer(run.order, OrderState.TIMED_OUT, message)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.process.pid, signal.SIGKILL)

    def _ended(self, order: str, code: int) -> None:
        if self._answers[order].state is OrderState.TIMED_OUT:
            return
        if code == 0:
            self._answer(order, OrderState.HONOURED, "the command accepted the restart")
        else:
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            self._answer(order, OrderState.REFUSED, f"the command ended with {how}")

    def _answer(self, order: str, state: OrderState, message: str) -> None:
        if self._answers.get(order) is None or self._answers[order].state is not state:
            log.info("restart command, order %s: %s", order, message)
        self._answers[order] = OrderAnswer(state=state, message=message, at=self._now())
