"""Answers that are put on the wire wrongly, or only unusually."""

from dataclasses import dataclass, replace

from ...wire import Wire
from .effect import Effect


@dataclass(frozen=True, slots=True)
class CutBody(Effect):
    tokens: int = 1

    def wire(self, healthy: Wire) -> Wire:
        return replace(healthy, cut_after=self.tokens)


@dataclass(frozen=True, slots=True)
class NoFinish(Effect):
    """No reason at the end, and as a rule no terminator."""

    terminator: bool = False

    def wire(self, healthy: Wire) -> Wire:
        return replace(healthy, finish=False, terminator=self.terminator)


@dataclass(frozen=True, slots=True)
class FinishAs(Effect):
    reason: str

    def wire(self, healthy: Wire) -> Wire:
        return replace(healthy, finish_as=self.reason)


class NoTerminator(Effect):
    """Says that it is finished, and leaves the connection open."""

    def wire(self, healthy: Wire) -> Wire:
        return replace(healthy, terminator=False, closes=False)


@dataclass(frozen=True, slots=True)
class EmptyEvents(Effect):
    tokens: int = 0

    def wire(self, healthy: Wire) -> Wire:
        return replace(healthy, empty_after=self.tokens, finish=False)


@dataclass(frozen=True, slots=True)
class ErrorInside(Effect):
    message: str
    tokens: int = 1

    def wire(self, healthy: Wire) -> Wire:
        return replace(healthy, error_after=self.tokens, error_message=self.message)


class NullBody(Effect):
    def wire(self, healthy: Wire) -> Wire:
        return replace(healthy, null_body=True)


@dataclass(frozen=True, slots=True)
class WrongUsage(Effect):
    offset: int

    def wire(self, healthy: Wire) -> Wire:
        return replace(healthy, usage_offset=self.offset)


@dataclass(frozen=True, slots=True)
class Comments(Effect):
    seconds: float

    def wire(self, healthy: Wire) -> Wire:
        return replace(healthy, comment_seconds=self.seconds)


class HeaderOnly(Effect):
    def wire(self, healthy: Wire) -> Wire:
        return replace(healthy, header_only=True)
