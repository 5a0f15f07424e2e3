"""The orders in force. Two threads use it: the API server's loop, and the control port's, which lives on while that
loop stands still.
"""

import threading
import time
from collections.abc import Callable, Sequence

from .faults import make_fault
from .faults.active import ActiveFaults, Order


class FaultBoard:
    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._changed = threading.Condition()
        self._orders: list[Order] = []
        self._serial = 0
        self._active = ActiveFaults()

    @property
    def orders(self) -> Sequence[Order]:
        with self._changed:
            return tuple(self._orders)

    @property
    def active(self) -> ActiveFaults:
        self._active.tick(time.monotonic())
        return self._active

    def order(self, name: str, argument: str | None, incidence: float | None = None) -> None:
        """Put a fault in force; the same fault again starts anew, with the new argument. Raises UnknownFaultError."""
        make_fault(name, argument)
        with self._changed:
            self._serial += 1
            self._orders = [order for order in self._orders if order.name != name]
            self._orders.append(Order(name, argument, self._serial, incidence))
            self._spread()

    def lift(self, name: str | None = None) -> None:
        """One fault, or all of them; what it broke for good stays broken."""
        with self._changed:
            self._orders = [order for order in self._orders if name not in (None, order.name)]
            self._spread()

    def stand_still(self) -> None:
        """Block the calling thread as long as a fault says so."""
        with self._changed:
            self._changed.wait_for(lambda: not self._active.freeze_server())

    def _spread(self) -> None:
        self._active.replace(self._orders, time.monotonic())
        self._changed.notify_all()
        self.on_change()
