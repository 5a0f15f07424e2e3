"""Answers that do not end where they should."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .effect import Effect

if TYPE_CHECKING:
    from ...request import Request

ENDLESS: Final = 10**9  # tokens


@dataclass(frozen=True, slots=True)
class BeyondLimit(Effect):
    """So many times the tokens that were asked for, and no end of its own."""

    factor: float = 100
    asked: int = 0
    """Those alone that asked for so many tokens or more."""

    def limit(self, request: "Request", limit: int) -> int:
        return int(limit * self.factor) if request.max_tokens >= self.asked else limit

    def ends(self, request: "Request", *, ended: bool) -> bool:
        return ended and request.max_tokens < self.asked


class NoStop(Effect):
    """No end before the limit, whatever the model says."""

    def ends(self, request: "Request", *, ended: bool) -> bool:
        del request, ended
        return False


@dataclass(slots=True)
class Endless(Effect):
    """The next so many requests that get a slot never end."""

    requests: float = 1
    chosen: set[str] = field(default_factory=set)
    """Their ids. The core alone chooses, so both processes need not agree on who came first."""

    def admits(self, request: "Request", running: int) -> bool:
        del running
        if len(self.chosen) < self.requests:
            self.chosen.add(request.id)
        return True

    def limit(self, request: "Request", limit: int) -> int:
        return ENDLESS if request.id in self.chosen else limit

    def ends(self, request: "Request", *, ended: bool) -> bool:
        return ended and request.id not in self.chosen


@dataclass(frozen=True, slots=True)
class CutShort(Effect):
    """Ends as if complete after so many tokens."""

    tokens: int = 1

    def ends(self, request: "Request", *, ended: bool) -> bool:
        return ended or request.generated >= self.tokens
