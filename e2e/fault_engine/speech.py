"""How a dialect puts an answer into words: what its chunks, its end and its errors look like. Pure."""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Final

from .generation import Generation
from .request import Said
from .wire import HEALTHY, Wire

EVENTS: Final = b"text/event-stream; charset=utf-8"
JSON: Final = b"application/json"


class Header(Enum):
    """When status and headers of a stream go out."""

    AT_ONCE = "before anything is known"
    WHEN_ADMITTED = "when the web server has taken the request, long before the engine has answered"
    WITH_FIRST_TOKEN = "with the first token"


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk carries."""

    text: str
    said: list[Said]
    finish: str | None = None
    stop_reason: str | None = None
    reasoning: str = ""
    """The part of it that is no answer yet."""

    @property
    def tokens(self) -> list[int]:
        return [said.token for said in self.said]


@dataclass(slots=True)
class Speech:
    """One answer in the making: knows what was said already. All texts are bytes as they go out."""

    content_type: ClassVar[bytes | None] = EVENTS
    headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = ()
    header: ClassVar[Header] = Header.WHEN_ADMITTED
    comment: ClassVar[bytes] = b": keep-alive\n\n"
    comment_seconds: ClassVar[float] = 0.0
    """So often a healthy server sends one while nothing else comes; 0: never."""
    terminator: ClassVar[bytes] = b"data: [DONE]\n\n"
    terminates_errors: ClassVar[bool] = True
    """The terminator follows errors too."""

    generation: Generation
    model: str
    created: int
    wire: Wire = HEALTHY
    said: int = 0  # tokens
    cached: int = 0
    text: str = ""
    opened: bool = False
    tells_cached: bool = False
    """The usage tells what came out of the prefix cache."""

    def open(self) -> bytes:
        """What comes before the first token."""
        return b""

    def take(self, piece: Piece) -> bytes:
        """A chunk. Counts what it carries."""
        self.said += len(piece.said)
        self.text += piece.text
        chunk = self.chunk(piece)
        self.opened = True
        return chunk

    def chunk(self, piece: Piece) -> bytes:
        raise NotImplementedError

    def empty(self) -> bytes:
        """An event without choices, where it should carry one."""
        return b""

    def close(self) -> bytes:
        """What comes after the last chunk and before the terminator."""
        return b""

    def error(self, status: int, message: str, kind: str) -> bytes:
        """An error inside a stream."""
        return sse({"error": {"message": message, "type": kind, "code": status}})

    def whole(self, piece: Piece) -> Any:
        """The document of an answer that is not streamed."""
        raise NotImplementedError

    @property
    def prompt_tokens(self) -> int:
        return len(self.generation.request.prompt)

    @property
    def stated_tokens(self) -> int:
        """What the usage says."""
        return max(0, self.said + self.wire.usage_offset)

    def usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + self.stated_tokens,
            "completion_tokens": self.stated_tokens,
        }


compact: Final = json.JSONEncoder(separators=(",", ":")).encode
"""`json.dumps` with these separators makes an encoder of its own for each chunk."""


def sse(document: Any) -> bytes:
    return f"data: {compact(document)}\n\n".encode()


def spaced_sse(document: Any) -> bytes:
    return f"data: {json.dumps(document)}\n\n".encode()
