"""Answers that do not end where they should."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .effect import Effect

if TYPE_CHECKING:
    from ...request import Request


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


@dataclass(frozen=True, slots=True)
class CutShort(Effect):
    """Ends as if complete after so many tokens."""

    tokens: int = 1

    def ends(self, request: "Request", *, ended: bool) -> bool:
        return ended or request.generated >= self.tokens
