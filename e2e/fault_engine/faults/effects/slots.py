"""Slots and memory that are held for nobody."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .effect import Effect

if TYPE_CHECKING:
    from ...request import Request, Stats


@dataclass(frozen=True, slots=True)
class Leak(Effect):
    """A slot, and where the web server has permits one of those, is not given back."""

    on: tuple[str, ...]

    def keeps_slot(self, request: "Request", how: str) -> bool:
        del request
        return how in self.on

    def keeps_permit(self, how: str) -> bool:
        return how in self.on


class GoOn(Effect):
    """Generates to the end for a client that has left."""

    def ignores_abort(self, request: "Request") -> bool:
        del request
        return True


@dataclass(frozen=True, slots=True)
class Gauges(Effect):
    """The metrics page says at least this; `idle`: it says that nothing runs."""

    running: int = 0
    kv_usage: float = 0.0
    idle: bool = False

    def shows(self, stats: "Stats") -> "Stats":
        if self.idle:
            return replace(stats, running=0, waiting=0, kv_usage=0.0)
        return replace(stats, running=max(stats.running, self.running), kv_usage=max(stats.kv_usage, self.kv_usage))
