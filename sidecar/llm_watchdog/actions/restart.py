"""Restart in place, by either method. Knows what became of an order, also of one that an earlier process gave."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

from llm_watchdog import orders
from llm_watchdog.api.names import RESTART_EXIT_CODE, RESTART_REQUEST_FILE
from llm_watchdog.api.reasons import RestartMethod
from llm_watchdog.core.situation import OrderAnswer, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llm_watchdog.core.case import Order

TICKS_PER_SECOND: Final = 100
"""The unit in which /proc tells a process's start; the same on every Linux."""

log = logging.getLogger(__name__)


class RestartAction(Protocol):
    """How a restart is done where this watchdog runs."""

    def carry_out(self, order: Order) -> None:
        """Hand the order over. Raises OSError when it could not be."""

    def answer(self, order: Order) -> OrderAnswer:
        """What became of it."""

    def withdraw(self) -> None:
        """Nothing is ordered (any more)."""


class InPlaceRestart:
    """`AllContainers`: the supervisor ends the container with code 88. `LivenessProbe`: the engine's probe fails."""

    def __init__(self, journal_dir: Path, orders_dir: Path, leave: Callable[[int], None]) -> None:
        self._journal_dir = str(journal_dir)
        self._request = orders_dir / RESTART_REQUEST_FILE
        self._leave = leave
        self._given = ""

    def carry_out(self, order: Order) -> None:
        """Either ends this process, or leaves a request for the kubelet's probe to find."""
        if order.method is RestartMethod.ALL_CONTAINERS:
            orders.give(self._journal_dir, order.id, time.time())
            self._given = order.id
            self._leave(RESTART_EXIT_CODE)
            return
        asked = int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_SECOND)
        temporary = self._request.with_suffix(".tmp")
        temporary.write_text(f"{asked}\n{order.id}\n", encoding="ascii")
        temporary.chmod(0o644)
        temporary.rename(self._request)

    def answer(self, order: Order) -> OrderAnswer:
        """Read from what lies on the disk, so that it does not matter which process gave the order."""
        if order.method is RestartMethod.ALL_CONTAINERS:
            answered, why = orders.answer(self._journal_dir)
            if answered == order.id:
                state = OrderState.REFUSED if why else OrderState.HONOURED
                return OrderAnswer(state=state, message=f"refused: {why}" if why else "")
            return OrderAnswer(state=OrderState.PENDING if self._given == order.id else OrderState.ABSENT)
        return OrderAnswer(state=OrderState.PENDING if order.id in self._requested() else OrderState.ABSENT)

    def withdraw(self) -> None:
        """A request that lies on would hit the engine's next container if its clock ever went back."""
        try:
            self._request.unlink(missing_ok=True)
        except OSError as error:
            log.warning("restart request not withdrawn: %s", error)

    def _requested(self) -> list[str]:
        try:
            return self._request.read_text(encoding="ascii").split("\n")
        except (OSError, UnicodeDecodeError):
            return []
