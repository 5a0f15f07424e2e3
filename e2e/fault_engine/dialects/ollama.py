"""Ollama: lines of JSON that end with `done: true`, a model that may be out of memory, and no metrics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from ..answering import Parse, generating
from ..errors import ApiError
from ..exchange import Exchange
from ..generation import Generation, Terms, parse_chat, parse_completion
from ..service import Endpoint, Routes, Service
from ..settings import Settings
from ..speech import Header, Piece, Speech
from .kind import Dialect, no_path
from .openai import OpenAISpeech, generation_routes, models

VERSION: Final = "0.13.1"
_KEEP: Final = timedelta(minutes=5)
_SECOND: Final = 1_000_000_000


@dataclass(slots=True)
class OllamaSpeech(Speech):
    """`/api/generate` and `/api/chat`."""

    content_type: ClassVar[bytes | None] = b"application/x-ndjson"
    header: ClassVar[Header] = Header.WITH_FIRST_TOKEN
    comment: ClassVar[bytes] = b""
    terminator: ClassVar[bytes] = b""

    def chunk(self, piece: Piece) -> bytes:
        going = self._line(piece.text, piece.reasoning) if piece.said or not piece.finish else b""
        return going + (self._last(piece.finish) if piece.finish else b"")

    def error(self, status: int, message: str, kind: str) -> bytes:
        del status, kind
        return _line({"error": message})

    def empty(self) -> bytes:
        return _line(self._head() | {"done": False})

    def whole(self, piece: Piece) -> dict[str, Any]:
        return self._head() | self._said(piece.text, piece.reasoning) | self._end(piece.finish)

    def _line(self, text: str, reasoning: str) -> bytes:
        return _line(self._head() | self._said(text, reasoning) | {"done": False})

    def _last(self, finish: str) -> bytes:
        return _line(self._head() | self._said("", "") | self._end(finish))

    def _head(self) -> dict[str, Any]:
        return {"model": self.model, "created_at": _instant()}

    def _said(self, text: str, reasoning: str) -> dict[str, Any]:
        thought = {"thinking": reasoning} if reasoning else {}
        if self.generation.chat:
            return {"message": {"role": "assistant", "content": text} | thought}
        return {"response": text} | thought

    def _end(self, finish: str | None) -> dict[str, Any]:
        seconds = {"total_duration": _SECOND, "load_duration": 0, "prompt_eval_duration": 0, "eval_duration": _SECOND}
        counts = {"prompt_eval_count": self.prompt_tokens, "eval_count": self.stated_tokens}
        return {"done": True, "done_reason": finish} | counts | seconds


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _translated(body: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    """Options into OpenAI's words. `num_predict` -1 is without a limit."""
    options = body.get("options") or {}
    limit = options.get("num_predict", -1)
    return {
        "model": str(body.get("model") or "").removesuffix(":latest") or None,
        "prompt": body.get("prompt"),
        "messages": body.get("messages"),
        "max_tokens": terms.limits.max_model_len // 2 if limit < 0 else limit,
        "temperature": options.get("temperature", 0.8),
        "seed": options.get("seed"),
        "stop": options.get("stop"),
        "stream": body.get("stream", True),
    }


def _generate(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    return parse_completion(_translated(body, terms), terms, name)


def _chat(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    return parse_chat(_translated(body, terms), terms, name)


def _loading(parse: Parse, asked: str) -> Endpoint:
    """A request without a prompt loads or unloads; any other loads the model where it is out of memory."""
    answer = generating(parse, OllamaSpeech)

    async def endpoint(service: Service, exchange: Exchange) -> None:
        body = exchange.json_body()
        if body.get(asked):
            service.unloaded = False
            await answer(service, exchange)
            return
        service.unloaded = body.get("keep_alive") == 0
        done = {"done": True, "done_reason": "unload" if service.unloaded else "load"}
        head = {"model": service.settings.model, "created_at": _instant(), "response": ""}
        await exchange.reply(200, head | done)

    return endpoint


async def root(service: Service, exchange: Exchange) -> None:
    del service
    await exchange.reply_bytes(200, b"Ollama is running", b"text/plain; charset=utf-8")


async def version(service: Service, exchange: Exchange) -> None:
    del service
    await exchange.reply(200, {"version": VERSION})


async def running(service: Service, exchange: Exchange) -> None:
    """A model that should have left memory long ago is shown by `ollama ps` as `Stopping...`."""
    stopping = service.board.active.entered_state() == "stopping"
    expires = datetime.now(UTC) + (-_KEEP if stopping else _KEEP)
    model = _model(service) | {
        "size_vram": 0,
        "context_length": service.settings.limits.max_model_len,
        "expires_at": expires.isoformat().replace("+00:00", "Z"),
    }
    await exchange.reply(200, {"models": [] if service.unloaded else [model]})


async def tags(service: Service, exchange: Exchange) -> None:
    await exchange.reply(200, {"models": [_model(service)]})


def _model(service: Service) -> dict[str, Any]:
    name = f"{service.settings.model}:latest"
    return {"name": name, "model": name, "size": 3_300_000, "digest": "0" * 64, "details": {"format": "gguf"}}


def _instant() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


_ROUTES: Final[Routes] = {
    ("GET", "/"): root,
    ("HEAD", "/"): root,
    ("GET", "/api/version"): version,
    ("GET", "/api/ps"): running,
    ("GET", "/api/tags"): tags,
    ("GET", "/v1/models"): models,
    ("POST", "/api/generate"): _loading(_generate, "prompt"),
    ("POST", "/api/chat"): _loading(_chat, "messages"),
}


def _routes(settings: Settings) -> Routes:
    del settings
    return _ROUTES | generation_routes(OpenAISpeech)


def _error_body(error: ApiError) -> Any:
    return {"error": str(error)}


DIALECT: Final = Dialect(name="ollama", routes=_routes, guarded=no_path, error_body=_error_body)
