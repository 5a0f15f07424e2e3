"""Langchain-Chatchat 0.3's API: errors as `200 null`, and good streams that end without `[DONE]`."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ..answering import generating
from ..errors import ApiError
from ..exchange import Exchange
from ..generation import parse_chat
from ..service import Routes, Service
from ..settings import Settings
from ..speech import Piece, Speech, compact
from .kind import Dialect, no_path
from .openai import models

_PING_SECONDS: Final = 15.0


@dataclass(slots=True)
class ChatchatSpeech(Speech):
    """The platform's chunks, relayed."""

    headers: ClassVar[tuple[tuple[bytes, bytes], ...]] = (
        (b"cache-control", b"no-cache"),
        (b"connection", b"keep-alive"),
        (b"x-accel-buffering", b"no"),
    )
    comment: ClassVar[bytes] = b": ping - 2026-11-21 01:19:46.000000+00:00\r\n\r\n"
    comment_seconds: ClassVar[float] = _PING_SECONDS
    terminator: ClassVar[bytes] = b""

    def chunk(self, piece: Piece) -> bytes:
        text = piece.reasoning + piece.text
        going = _event(compact(self._chunk([_choice(text, None)]))) if text else b""
        return going + (_event(compact(self._chunk([_choice(None, piece.finish)]))) if piece.finish else b"")

    def error(self, status: int, message: str, kind: str) -> bytes:
        del status, kind
        return _event(json.dumps({"error": message}))

    def empty(self) -> bytes:
        return _event(compact(self._chunk([])))

    def whole(self, piece: Piece) -> dict[str, Any]:
        message: dict[str, Any] = {"content": piece.reasoning + piece.text, "refusal": None, "role": "assistant"}
        message |= dict.fromkeys(("annotations", "audio", "function_call", "tool_calls"))
        choice = {"finish_reason": piece.finish, "index": 0, "logprobs": None, "message": message}
        usage = {
            "completion_tokens": self.stated_tokens,
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + self.stated_tokens,
            "completion_tokens_details": None,
            "prompt_tokens_details": None,
        }
        return self._head([choice], "chat.completion") | {"usage": usage}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return self._head(choices, "chat.completion.chunk") | {"usage": None}

    def _head(self, choices: list[dict[str, Any]], kind: str) -> dict[str, Any]:
        return {
            "id": self.generation.answer_id,
            "choices": choices,
            "created": self.created,
            "model": self.model,
            "object": kind,
            "service_tier": None,
            "system_fingerprint": None,
        }


def _event(text: str) -> bytes:
    """With the line ends of sse-starlette."""
    return f"data: {text}\r\n\r\n".encode()


def _choice(text: str | None, finish: str | None) -> dict[str, Any]:
    delta = {"content": text, "function_call": None, "refusal": None, "role": None, "tool_calls": None}
    return {"delta": delta, "finish_reason": finish, "index": 0, "logprobs": None}


async def docs(service: Service, exchange: Exchange) -> None:
    del service
    await exchange.reply_bytes(200, b"<!DOCTYPE html><title>Langchain-Chatchat API Server</title>", b"text/html")


_ROUTES: Final[Routes] = {
    ("GET", "/docs"): docs,
    ("GET", "/v1/models"): models,
    ("POST", "/v1/chat/completions"): generating(parse_chat, ChatchatSpeech),
    ("POST", "/chat/chat/completions"): generating(parse_chat, ChatchatSpeech),
}


def _routes(settings: Settings) -> Routes:
    del settings
    return _ROUTES


def _error_body(error: ApiError) -> Any:
    return {"detail": str(error)}


DIALECT: Final = Dialect(
    name="chatchat",
    routes=_routes,
    guarded=no_path,
    any_model=True,
    error_body=_error_body,
    errors_as_null=True,
)
