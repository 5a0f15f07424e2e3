"""LazyLLM 1.4: an application's own chat route over its stream queue, and the relay server's pickles."""

import base64
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final
from uuid import uuid4

from .. import model, tokenizer
from ..answering import generating
from ..errors import ApiError
from ..exchange import Exchange
from ..generation import Generation, Terms, parse_completion
from ..request import Request
from ..service import Routes, Service
from ..settings import Settings
from ..speech import Header, Piece, Speech
from .kind import Dialect, no_path


@dataclass(slots=True)
class QueueSpeech(Speech):
    """What the queue held, event by event. The final result is right even where the stream was another's."""

    header: ClassVar[Header] = Header.AT_ONCE
    events: int = 0

    def chunk(self, piece: Piece) -> bytes:
        messages: list[dict[str, Any]] = [] if self.opened else [_runtime_event("model_call_started")]
        messages += [{"tag": "text", "delta": tokenizer.decode([said.token])} for said in piece.said]
        return self._event(messages) if messages else b""

    def empty(self) -> bytes:
        return self._event([])

    def close(self) -> bytes:
        finished = self._event([_runtime_event("model_call_finished")])
        return finished + _event({"final": repr({"content": _own_words(self.generation.request)})})

    def whole(self, piece: Piece) -> dict[str, Any]:
        return {"final": repr({"content": piece.reasoning + piece.text})}

    def _event(self, messages: list[dict[str, Any]]) -> bytes:
        self.events += 1
        raw = [json.dumps(message) for message in messages]
        return _event({"sid": f"aid-0x{id(self):x}", "i": self.events, "raw": raw})


@dataclass(slots=True)
class RelaySpeech(Speech):
    """Blocks of pickled text. They are made here and must be loaded nowhere."""

    content_type: ClassVar[bytes | None] = b"text/plain; charset=utf-8"
    comment: ClassVar[bytes] = b""
    terminator: ClassVar[bytes] = b""

    def chunk(self, piece: Piece) -> bytes:
        return _pickled(piece.reasoning + piece.text) if piece.said else b""

    def whole(self, piece: Piece) -> str:
        return _pickled(piece.reasoning + piece.text).decode()


def _event(document: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n".encode()


def _pickled(text: str) -> bytes:
    return base64.encodebytes(pickle.dumps(text))


def _runtime_event(kind: str) -> dict[str, Any]:
    event = {"schema_version": 1, "event_id": uuid4().hex, "type": kind, "data": {"model_call_id": uuid4().hex}}
    return {"tag": "runtime_event", "runtime_event": event}


def _own_words(request: Request) -> str:
    length = len(request.script) or tokenizer.answer_length(request.seed)
    count = min(request.max_tokens, length) if request.ends else request.max_tokens
    script = tuple(request.script)
    return tokenizer.decode(model.choose(script, request.period, request.seed, place).token for place in range(count))


def parse_query(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    asked = {"prompt": body.get("query"), "temperature": 0, "max_tokens": body.get("max_tokens", 256), "stream": True}
    return parse_completion(asked, terms, name)


def parse_relay(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    prompt = body.get("inputs", body.get("input", body.get("prompt")))
    asked = {"prompt": prompt, "temperature": 0, "max_tokens": 256, "stream": bool(body.get("stream", True))}
    return parse_completion(asked, terms, name)


async def openapi(service: Service, exchange: Exchange) -> None:
    del service
    await exchange.reply(200, {"openapi": "3.1.0", "info": {"title": "FastAPI", "version": "0.1.0"}, "paths": {}})


_ROUTES: Final[Routes] = {
    ("POST", "/chat"): generating(parse_query, QueueSpeech),
    ("POST", "/generate"): generating(parse_relay, RelaySpeech),
    ("GET", "/openapi.json"): openapi,
}


def _routes(settings: Settings) -> Routes:
    del settings
    return _ROUTES


def _error_body(error: ApiError) -> Any:
    return {"detail": str(error)}


DIALECT: Final = Dialect(name="lazyllm", routes=_routes, guarded=no_path, any_model=True, error_body=_error_body)
