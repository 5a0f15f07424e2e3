"""DB-GPT 0.8: the worker with its embedded controller, and the API server beside it, two processes in real life."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import Any, ClassVar, Final

from .. import tokenizer
from ..answering import generating
from ..errors import ApiError
from ..exchange import Exchange
from ..generation import Generation, Terms, parse_chat, parse_completion
from ..service import Routes, Service
from ..settings import Settings
from ..speech import Header, Piece, Speech, sse
from .kind import Dialect

_ERROR: Final = "**LLMServer Generate Error, Please CheckErrorInfo.**: "
_UNMEASURED: Final = (
    "first_completion_tokens",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "speed_per_second",
    "prefill_tokens_per_second",
    "decode_tokens_per_second",
    "current_gpu_infos",
    "avg_gpu_infos",
)


@dataclass(slots=True)
class WorkerSpeech(Speech):
    """Objects that hold everything said so far, each with a NUL behind it. The finish reason is always null."""

    content_type: ClassVar[bytes | None] = None
    header: ClassVar[Header] = Header.AT_ONCE
    comment: ClassVar[bytes] = b""
    terminator: ClassVar[bytes] = b""
    events: int = 0

    def chunk(self, piece: Piece) -> bytes:
        del piece  # it is in the text by now
        self.events += 1
        return _nul(self._output(self.text))

    def error(self, status: int, message: str, kind: str) -> bytes:
        del status, kind
        failed = {"error_code": 1, "incremental": False, "model_context": None, "finish_reason": None}
        return _nul({"content": _content(_ERROR + message)} | failed | {"usage": None, "metrics": None})

    def empty(self) -> bytes:
        return _nul({"error_code": 0, "incremental": False, "finish_reason": None})

    def whole(self, piece: Piece) -> dict[str, Any]:
        return self._output(piece.reasoning + piece.text)

    def _output(self, text: str) -> dict[str, Any]:
        now = int(time() * 1000)
        context = {"prompt_echo_len_char": -1, "has_format_prompt": False, "echo": False}
        times = {"start_time_ms": self.created * 1000, "end_time_ms": now, "current_time_ms": now}
        first = {"first_token_time_ms": None, "first_completion_time_ms": now}
        metrics = {"collect_index": self.events} | times | first | dict.fromkeys(_UNMEASURED)
        return {
            "content": _content(text),
            "error_code": 0,
            "incremental": False,
            "model_context": context,
            "finish_reason": None,
            "usage": None,
            "metrics": metrics,
        }


@dataclass(slots=True)
class GatewaySpeech(Speech):
    """The API server: role at once, before the worker is asked, and no finish reason ever."""

    header: ClassVar[Header] = Header.AT_ONCE

    def open(self) -> bytes:
        usage = {"prompt_tokens": 0, "total_tokens": 0, "completion_tokens": 0}
        return sse(self._chunk({"role": "assistant"}) | {"usage": usage})

    def chunk(self, piece: Piece) -> bytes:
        text = piece.reasoning + piece.text
        return sse(self._chunk({"content": text, "reasoning_content": None}) | {"usage": {}}) if text else b""

    def error(self, status: int, message: str, kind: str) -> bytes:
        del status, kind
        failed = {"error_code": 1, "text": _ERROR + message, "incremental": False, "model_context": None}
        return f"data: {json.dumps(failed | dict.fromkeys(('finish_reason', 'usage', 'metrics')))}\n\n".encode()

    def empty(self) -> bytes:
        return sse({"id": self.generation.answer_id, "model": self.model, "choices": [], "usage": {}})

    def whole(self, piece: Piece) -> dict[str, Any]:
        message = {"role": "assistant", "content": piece.reasoning + piece.text}
        choice = {"index": 0, "message": message, "finish_reason": None}
        return {"id": self.generation.answer_id, "model": self.model, "choices": [choice], "usage": self.usage()}

    def _chunk(self, delta: dict[str, Any]) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return {"id": self.generation.answer_id, "model": self.model, "choices": [choice]}


def _content(text: str) -> dict[str, Any]:
    return {"object": {"data": text, "format": "text"}, "type": "text"}


def _nul(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\0"


def _parsed(body: Mapping[str, Any], terms: Terms, name: str, *, stream: bool) -> Generation:
    asked = {
        "messages": body.get("messages"),
        "prompt": body.get("prompt"),
        "max_tokens": body.get("max_new_tokens") or 256,
        "temperature": body.get("temperature", 1.0),
        "stop": body.get("stop"),
        "stream": stream,
    }
    return (parse_chat if asked["messages"] else parse_completion)(asked, terms, name)


def parse_stream(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    return _parsed(body, terms, name, stream=True)


def parse_whole(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    return _parsed(body, terms, name, stream=False)


async def model_metadata(service: Service, exchange: Exchange) -> None:
    """It takes a permit as a generation does: it hangs when none is free."""
    await service.take_permit()
    service.give_permit()
    document: dict[str, Any] = {"model": service.settings.model, "label": None}
    document |= {"context_length": service.settings.limits.max_model_len, "max_output_length": None}
    document |= {"description": None, "link": None, "chat_model": True, "function_calling": False, "metadata": {}}
    prompts = {"prompt_roles": ["human", "ai", "system"], "prompt_sep": "\n", "prompt_chat_template": None}
    await exchange.reply(200, document | {"ext_metadata": prompts})


async def count_token(service: Service, exchange: Exchange) -> None:
    await service.take_permit()
    service.give_permit()
    await exchange.reply(200, len(tokenizer.encode(str(exchange.json_body().get("prompt", "")))))


async def health(service: Service, exchange: Exchange) -> None:
    """The embedded controller's."""
    status = service.board.active.health_status() or 200
    await exchange.reply(status, {"status": "ok"})


async def registry(service: Service, exchange: Exchange) -> None:
    """The embedded controller's: a wedged model goes on sending heartbeats."""
    beat = datetime.now(UTC).replace(tzinfo=None).isoformat()
    entry = {
        "model_name": f"{service.settings.model}@llm",
        "host": "127.0.0.1",
        "port": service.settings.port,
        "weight": 1.0,
        "check_healthy": True,
        "healthy": True,
        "enabled": True,
        "prompt_template": None,
        "last_heartbeat": beat,
        "remove_from_registry": False,
    }
    await exchange.reply(200, [entry, entry | {"model_name": "WorkerManager@service"}])


async def openapi(service: Service, exchange: Exchange) -> None:
    del service
    await exchange.reply(200, {"openapi": "3.1.0", "info": {"title": "dbgpt", "version": "0.8.2"}, "paths": {}})


async def models(service: Service, exchange: Exchange) -> None:
    """The API server's."""
    model = {"id": service.settings.model, "object": "model", "created": service.created, "owned_by": "DB-GPT"}
    await exchange.reply(200, {"object": "list", "data": [model]})


_ROUTES: Final[Routes] = {
    ("POST", "/api/worker/generate_stream"): generating(parse_stream, WorkerSpeech),
    ("POST", "/api/worker/generate"): generating(parse_whole, WorkerSpeech),
    ("POST", "/api/worker/model_metadata"): model_metadata,
    ("POST", "/api/worker/count_token"): count_token,
    ("GET", "/api/health"): health,
    ("GET", "/api/controller/models"): registry,
    ("GET", "/openapi.json"): openapi,
    ("GET", "/api/v1/models"): models,
    ("POST", "/api/v1/chat/completions"): generating(parse_chat, GatewaySpeech),
}


def _routes(settings: Settings) -> Routes:
    del settings
    return _ROUTES


def _error_body(error: ApiError) -> Any:
    return {"detail": str(error)}


DIALECT: Final = Dialect(
    name="dbgpt",
    routes=_routes,
    guarded=lambda path: path.startswith("/api/v1"),
    any_model=True,
    error_body=_error_body,
    limited=True,
)
