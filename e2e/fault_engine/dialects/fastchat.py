"""FastChat 0.2.36: the worker's protocol, and the OpenAI server's beside it, which are two processes in real life."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from .. import tokenizer
from ..answering import generating
from ..errors import ApiError
from ..exchange import Exchange
from ..generation import Generation, Terms, parse_chat, parse_completion
from ..service import Routes, Service
from ..settings import Settings
from ..speech import Header, Piece, Speech, spaced_sse
from .kind import Dialect
from .openai import models

_BUSY: Final = "**NETWORK ERROR DUE TO HIGH TRAFFIC. PLEASE REGENERATE OR REFRESH THIS PAGE.**"
_ERROR_CODE: Final = 50001


@dataclass(slots=True)
class WorkerSpeech(Speech):
    """Objects that hold everything said so far, each with a NUL behind it; status 200 whatever happens."""

    content_type: ClassVar[bytes | None] = None
    comment: ClassVar[bytes] = b""
    terminator: ClassVar[bytes] = b""

    def chunk(self, piece: Piece) -> bytes:
        going = _nul(self._state(self.text, None)) if piece.said or not piece.finish else b""
        return going + (_nul(self._state(self.text, piece.finish)) if piece.finish else b"")

    def error(self, status: int, message: str, kind: str) -> bytes:
        del status, kind
        return _nul({"text": f"{_BUSY}\n\n({message})", "error_code": _ERROR_CODE})

    def empty(self) -> bytes:
        return _nul({"error_code": 0})

    def whole(self, piece: Piece) -> dict[str, Any]:
        return self._state(piece.reasoning + piece.text, piece.finish)

    def _state(self, text: str, finish: str | None) -> dict[str, Any]:
        usage = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.stated_tokens,
            "total_tokens": self.prompt_tokens + self.stated_tokens,
        }
        return {"text": text, "error_code": 0, "usage": usage, "finish_reason": finish, "logprobs": None}


@dataclass(slots=True)
class GatewaySpeech(Speech):
    """The OpenAI server: role at once, before any worker is asked."""

    header: ClassVar[Header] = Header.AT_ONCE

    def open(self) -> bytes:
        return spaced_sse(self._chunk({"role": "assistant"}, None)) if self.generation.chat else b""

    def chunk(self, piece: Piece) -> bytes:
        text = piece.reasoning + piece.text
        going = spaced_sse(self._chunk({"content": text}, None)) if text else b""
        if not piece.finish:
            return going
        head = {"id": self.generation.answer_id, "object": "chat.completion.chunk", "created": self.created}
        return going + spaced_sse(head | {"model": self.model, "choices": [_choice({}, piece.finish)]})

    def error(self, status: int, message: str, kind: str) -> bytes:
        del status, kind
        return spaced_sse({"text": f"{_BUSY}\n\n({message})", "error_code": _ERROR_CODE})

    def empty(self) -> bytes:
        return spaced_sse({"id": self.generation.answer_id, "model": self.model, "choices": []})

    def whole(self, piece: Piece) -> dict[str, Any]:
        message = {"role": "assistant", "content": piece.reasoning + piece.text}
        return {
            "id": self.generation.answer_id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": piece.finish}],
            "usage": self.usage(),
        }

    def _chunk(self, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
        return {"id": self.generation.answer_id, "model": self.model, "choices": [_choice(delta, finish)]}


def _choice(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _nul(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\0"


def _parsed(body: Mapping[str, Any], terms: Terms, name: str, *, stream: bool) -> Generation:
    asked = {
        "prompt": body.get("prompt"),
        "max_tokens": body.get("max_new_tokens", 256),
        "temperature": body.get("temperature", 1.0),
        "stop": body.get("stop"),
        "stream": stream,
    }
    return parse_completion(asked, terms, name)


def parse_stream(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    return _parsed(body, terms, name, stream=True)


def parse_whole(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    return _parsed(body, terms, name, stream=False)


async def get_status(service: Service, exchange: Exchange) -> None:
    """The body of the request is ignored; heartbeats say the same, leaked or not."""
    length = service.permits.queue_length if service.permits else 0
    await exchange.reply(200, {"model_names": [service.settings.model], "speed": 1, "queue_length": length})


async def count_token(service: Service, exchange: Exchange) -> None:
    del service
    prompt = str(exchange.json_body().get("prompt", ""))
    await exchange.reply(200, {"count": len(tokenizer.encode(prompt)), "error_code": 0})


async def model_details(service: Service, exchange: Exchange) -> None:
    await exchange.reply(200, {"context_length": service.settings.limits.max_model_len})


async def list_models(service: Service, exchange: Exchange) -> None:
    """The controller's."""
    await exchange.reply(200, {"models": [service.settings.model]})


async def test_connection(service: Service, exchange: Exchange) -> None:
    """The controller's."""
    del service
    await exchange.reply(200, "success")


_ROUTES: Final[Routes] = {
    ("POST", "/worker_get_status"): get_status,
    ("POST", "/worker_generate_stream"): generating(parse_stream, WorkerSpeech),
    ("POST", "/worker_generate"): generating(parse_whole, WorkerSpeech),
    ("POST", "/count_token"): count_token,
    ("POST", "/model_details"): model_details,
    ("POST", "/list_models"): list_models,
    ("GET", "/test_connection"): test_connection,
    ("GET", "/v1/models"): models,
    ("POST", "/v1/chat/completions"): generating(parse_chat, GatewaySpeech),
}


def _routes(settings: Settings) -> Routes:
    del settings
    return _ROUTES


def _error_body(error: ApiError) -> Any:
    return {"object": "error", "message": str(error), "code": _ERROR_CODE}


DIALECT: Final = Dialect(
    name="fastchat", routes=_routes, any_model=True, error_body=_error_body, limited=True, sticky=True
)
