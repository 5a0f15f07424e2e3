"""Something stands still while the rest looks well."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .effect import Effect
from .length import ENDLESS

if TYPE_CHECKING:
    from ...request import Request


class FreezeCore(Effect):
    def freezes_core(self) -> bool:
        return True


class FreezeServer(Effect):
    def freezes_server(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Stall(Effect):
    """No token after the N-th, while others go on; `until_next`: the next request sets it going again."""

    tokens: float = 0
    until_next: bool = False

    def emits(self, request: "Request", newest: str) -> bool:
        if self.until_next and newest != request.id:
            return True
        return request.generated < self.tokens


class Withhold(Effect):
    """Waiting requests get no slot."""

    def admits(self, request: "Request", running: int) -> bool:
        del request, running
        return False


@dataclass(slots=True)
class Starve(Effect):
    """The first request that is alone never ends, and none is admitted beside another."""

    endless: str = ""
    """Its id."""

    def admits(self, request: "Request", running: int) -> bool:
        if running:
            return False
        self.endless = request.id
        return True

    def limit(self, request: "Request", limit: int) -> int:
        return ENDLESS if request.id == self.endless else limit

    def ends(self, request: "Request", *, ended: bool) -> bool:
        return ended and request.id != self.endless


@dataclass(frozen=True, slots=True)
class SilentPath(Effect):
    """Endpoints whose answer never comes."""

    paths: tuple[str, ...]

    def silences(self, path: str) -> bool:
        return path in self.paths


@dataclass(frozen=True, slots=True)
class GarbledPath(Effect):
    """An endpoint that answers with something else."""

    path: str
    status: int = 500
    body: str = "Internal Server Error"

    def garbles(self, path: str) -> tuple[int, bytes] | None:
        return (self.status, self.body.encode()) if path == self.path else None
