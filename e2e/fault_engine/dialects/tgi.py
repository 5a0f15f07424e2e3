"""Text Generation Inference 3.3: a queue gauge, a decode counter, 429 when full, and health that asks the shards."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from .. import tokenizer
from ..answering import generating
from ..errors import ApiError
from ..exchange import Exchange
from ..generation import Generation, Terms, parse_completion
from ..meter import Meter
from ..request import Said
from ..service import Routes, Service
from ..settings import Settings
from ..speech import Piece, Speech, sse
from .kind import Dialect
from .openai import OpenAISpeech, generation_routes, models
from .pages import Series, page

VERSION: Final = "3.3.7"
_FINISH: Final = {"stop": "eos_token", "length": "length"}
_END: Final = {"id": tokenizer.END, "text": "", "logprob": 0.0, "special": True}


class TgiMeter(Meter):
    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._taken = self._succeeded = self._refused = self._tokens = 0

    def count_first_token(self, seconds: float, prompt_tokens: int) -> None:
        del seconds, prompt_tokens
        self._taken += 1

    def count_finished(self, reason: str, seconds: float, prompt_tokens: int, tokens: int) -> None:
        del reason, seconds, prompt_tokens
        self._succeeded += 1
        self._tokens += tokens

    def count_rejection(self) -> None:
        self._refused += 1

    def page(self) -> bytes:
        stats = self.stats
        method = {"prefill": self._taken, "decode": stats.batches}
        return page(
            [
                Series("tgi_queue_size", "gauge", float(stats.waiting), {}),
                Series("tgi_batch_current_size", "gauge", float(stats.running), {}),
                Series("tgi_request_count", "counter", float(self._taken), {}),
                Series("tgi_request_success", "counter", float(self._succeeded), {}),
                Series("tgi_request_failure", "counter", float(self._refused), {"err": "overloaded"}),
                *(
                    Series("tgi_batch_inference_count", "counter", float(count), {"method": name})
                    for name, count in method.items()
                ),
                Series("tgi_request_generated_tokens", "histogram", float(self._tokens), {}, "_sum"),
                Series("tgi_request_generated_tokens", "histogram", float(self._succeeded), {}, "_count"),
            ]
        )


@dataclass(slots=True)
class TgiSpeech(OpenAISpeech):
    """The OpenAI routes."""

    comment_seconds: ClassVar[float] = 15.0

    def error(self, status: int, message: str, kind: str) -> bytes:
        del kind
        return sse({"error": {"message": message, "http_status_code": status}})


@dataclass(slots=True)
class NativeSpeech(Speech):
    """`/generate_stream`: one token in each event; the last has the whole text."""

    comment_seconds: ClassVar[float] = 15.0
    terminator: ClassVar[bytes] = b""

    def chunk(self, piece: Piece) -> bytes:
        before = self.said - len(piece.said)
        events: list[dict[str, Any]] = [
            {"index": before + place + 1, "token": _token(said), "generated_text": None, "details": None}
            for place, said in enumerate(piece.said)
        ]
        if piece.finish == "stop" and piece.stop_reason is None:
            events.append({"index": self.said + 1, "token": _END, "generated_text": None, "details": None})
        if piece.finish:
            last = events.pop() if events else {"index": self.said, "token": _END}
            events.append(last | {"generated_text": self.text, "details": self._details(piece)})
        return b"".join(sse(event) for event in events)

    def error(self, status: int, message: str, kind: str) -> bytes:
        del status, kind
        return sse({"error": message, "error_type": "generation"})

    def empty(self) -> bytes:
        return sse({"index": 0, "token": None, "generated_text": None, "details": None})

    def whole(self, piece: Piece) -> dict[str, Any]:
        details = self._details(piece) | {"tokens": [_token(said) for said in piece.said]}
        return {"generated_text": piece.reasoning + piece.text, "details": details}

    def _details(self, piece: Piece) -> dict[str, Any]:
        """The end token is generated and counted too."""
        own_end = piece.finish == "stop" and piece.stop_reason is None
        reason = "stop_sequence" if piece.stop_reason else _FINISH.get(piece.finish or "", piece.finish)
        return {"finish_reason": reason, "generated_tokens": self.stated_tokens + own_end, "seed": None}


def _token(said: Said) -> dict[str, Any]:
    return {"id": said.token, "text": tokenizer.decode([said.token]), "logprob": said.logprob, "special": False}


def _parsed(body: Mapping[str, Any], terms: Terms, name: str, *, stream: bool) -> Generation:
    parameters = body.get("parameters") or {}
    asked = {
        "prompt": body.get("inputs"),
        "max_tokens": parameters.get("max_new_tokens", 100),
        "temperature": 1.0 if parameters.get("do_sample") else 0,
        "seed": parameters.get("seed"),
        "stop": parameters.get("stop"),
        "stream": stream,
        "cache_prompt": not parameters.get("decoder_input_details"),
        "logprobs": 1,  # each token has one, asked or not
    }
    return parse_completion(asked, terms, name)


def parse_stream(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    return _parsed(body, terms, name, stream=True)


def parse_whole(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    return _parsed(body, terms, name, stream=bool(body.get("stream")))


async def health(service: Service, exchange: Exchange) -> None:
    """Asks every shard: it hangs with them, and says 503 where they failed."""
    active = service.board.active
    await asyncio.sleep(active.health_delay_seconds())
    if active.health_status() is None:
        await service.core.call("stats")
    await exchange.reply_bytes(active.health_status() or 200, b"", None)


async def info(service: Service, exchange: Exchange) -> None:
    document = {"model_id": service.settings.model, "version": VERSION, "router": "text-generation-router"}
    limits = {"max_concurrent_requests": service.settings.max_concurrent, "max_total_tokens": 4096}
    await exchange.reply(200, document | limits)


async def metrics(service: Service, exchange: Exchange) -> None:
    await exchange.reply_bytes(200, service.meter.page() or b"", b"text/plain; charset=utf-8")


_GENERATE: Final[Routes] = {
    ("POST", "/generate"): generating(parse_whole, NativeSpeech),
    ("POST", "/"): generating(parse_whole, NativeSpeech),
    ("POST", "/generate_stream"): generating(parse_stream, NativeSpeech),
}
_ROUTES: Final[Routes] = _GENERATE | {
    ("GET", "/health"): health,
    ("GET", "/ping"): health,
    ("GET", "/info"): info,
    ("GET", "/metrics"): metrics,
    ("GET", "/v1/models"): models,
}


def _routes(settings: Settings) -> Routes:
    del settings
    return _ROUTES | generation_routes(TgiSpeech)


def _error_body(error: ApiError) -> Any:
    kinds = {429: "overloaded", 422: "validation", 400: "validation"}
    return {"error": str(error), "error_type": kinds.get(error.status, "generation")}


def _overload() -> ApiError:
    return ApiError(429, "Model is overloaded", "overloaded")


DIALECT: Final = Dialect(
    name="tgi",
    routes=_routes,
    meter=TgiMeter,
    guarded=lambda path: path.startswith(("/generate", "/v1/c", "/tokenize")) or path == "/",
    any_model=True,
    completion_tokens=100,
    error_body=_error_body,
    limited=True,
    overload=_overload,
)
