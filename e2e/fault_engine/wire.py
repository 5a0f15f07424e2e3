"""How one answer is put on the wire. Pure; the defaults are a healthy server's."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    cut_after: int | None = None
    """Tokens after which the connection is closed inside the body."""
    error_after: int | None = None
    """Tokens after which an error comes inside the 200."""
    error_message: str = ""
    empty_after: int | None = None
    """Tokens after which only events without choices come."""
    finish: bool = True
    """A reason is given at the end."""
    finish_as: str | None = None
    """The reason that is given instead of the true one."""
    terminator: bool = True
    """`[DONE]`, or whatever the dialect ends with, is sent."""
    closes: bool = True
    """The body ends. Otherwise the connection stays open for ever."""
    null_body: bool = False
    """A whole answer is `null`, a stream is empty."""
    usage_offset: int = 0
    """Added to the completion tokens that the usage states."""
    comment_seconds: float = 0.0
    """So often a comment comes until the first token; 0: never."""
    header_only: bool = False
    """Status and headers, and then nothing, although the engine generates."""


HEALTHY: Final = Wire()
