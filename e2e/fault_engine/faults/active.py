"""The faults in force, and what they add up to. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import make_fault
from .kind import Fault


@dataclass(frozen=True, slots=True)
class Order:
    """One fault as it was asked for; the serial tells a repeated order from the one still in force."""

    name: str
    argument: str | None
    serial: int

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "arg": self.argument, "serial": self.serial}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Order":
        return cls(document["name"], document["arg"], document["serial"])


@dataclass(frozen=True, slots=True)
class _InForce:
    order: Order
    fault: Fault
    since: float


@dataclass(slots=True)
class ActiveFaults:
    _in_force: list[_InForce] = field(default_factory=list)

    def replace(self, orders: Sequence[Order], now: float) -> bool:
        """Faults that are in force already keep their state and their start; True when one was lifted."""
        kept = {entry.order.serial: entry for entry in self._in_force}
        self._in_force = [
            kept.get(order.serial) or _InForce(order, make_fault(order.name, order.argument), now) for order in orders
        ]
        return not kept.keys() <= {order.serial for order in orders}

    def freeze_core(self) -> bool:
        return any(entry.fault.freezes_core() for entry in self._in_force)

    def admit(self) -> bool:
        return all(entry.fault.admits() for entry in self._in_force)

    def emit(self, generated: int) -> bool:
        return all(entry.fault.emits(generated) for entry in self._in_force)

    def step_seconds(self, healthy: float, admitted: int) -> float:
        seconds = healthy
        for entry in self._in_force:
            seconds = entry.fault.step_seconds(seconds, admitted)
        return seconds

    def startup_seconds(self) -> float:
        return sum(entry.fault.startup_seconds() for entry in self._in_force)

    def death_at(self) -> float | None:
        delays = [(entry.since, entry.fault.death_delay_seconds()) for entry in self._in_force]
        return min((since + delay for since, delay in delays if delay is not None), default=None)

    def freeze_server(self) -> bool:
        return any(entry.fault.freezes_server() for entry in self._in_force)

    def outlive_core(self) -> bool:
        return any(entry.fault.outlives_core() for entry in self._in_force)

    def health_delay_seconds(self) -> float:
        return max((entry.fault.health_delay_seconds() for entry in self._in_force), default=0.0)

    def refusal_status(self) -> int | None:
        statuses = (entry.fault.refusal_status() for entry in self._in_force)
        return next((status for status in statuses if status is not None), None)
