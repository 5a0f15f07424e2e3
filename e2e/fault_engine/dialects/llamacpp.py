"""llama.cpp's server: slots, counters that move when one is released, streams that an error ends without `[DONE]`."""

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
from ..speech import Header, Piece, Speech, sse
from .kind import Dialect
from .openai import OpenAISpeech, generation_routes, models, static_health
from .pages import Series, page

_BUILD: Final = "b6600-0c1e5709"
_PING_SECONDS: Final = 30.0


class LlamaMeter(Meter):
    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._prompt_tokens = self._tokens = 0

    def count_finished(self, reason: str, seconds: float, prompt_tokens: int, tokens: int) -> None:
        """Tokens count when the slot is released, not before."""
        del reason, seconds
        self._prompt_tokens += prompt_tokens
        self._tokens += tokens

    def page(self) -> bytes:
        counters = {
            "prompt_tokens_total": self._prompt_tokens,
            "tokens_predicted_total": self._tokens,
            "n_decode_total": self.stats.batches,
        }
        gauges = {
            "requests_processing": self.stats.running,
            "requests_deferred": self.stats.waiting,
            "n_busy_slots_per_decode": self.stats.running,
        }
        return page(
            [
                *(Series(f"llamacpp:{name}", "counter", float(value), {}) for name, value in counters.items()),
                *(Series(f"llamacpp:{name}", "gauge", float(value), {}) for name, value in gauges.items()),
            ]
        )


@dataclass(slots=True)
class LlamaSpeech(OpenAISpeech):
    """The OpenAI routes."""

    header: ClassVar[Header] = Header.WITH_FIRST_TOKEN
    comment: ClassVar[bytes] = b":\n\n"
    comment_seconds: ClassVar[float] = _PING_SECONDS
    terminates_errors: ClassVar[bool] = False

    def close(self) -> bytes:
        """Timings come with the usage."""
        if not self.generation.include_usage:
            return b""
        return sse(self._head(chunk=True) | {"choices": [], "usage": self.usage(), "timings": _timings(self)})

    def whole(self, piece: Piece) -> dict[str, Any]:
        return OpenAISpeech.whole(self, piece) | {"timings": _timings(self)}


@dataclass(slots=True)
class NativeSpeech(Speech):
    """`/completion`: ends with `stop: true` and no terminator."""

    header: ClassVar[Header] = Header.WITH_FIRST_TOKEN
    comment: ClassVar[bytes] = b":\n\n"
    comment_seconds: ClassVar[float] = _PING_SECONDS
    terminator: ClassVar[bytes] = b""

    def chunk(self, piece: Piece) -> bytes:
        text = piece.reasoning + piece.text
        going = {"index": 0, "content": text, "tokens": piece.tokens, "stop": False, "id_slot": 0}
        going |= {"tokens_predicted": self.said, "tokens_evaluated": self.prompt_tokens}
        if self.generation.logprobs is not None:
            going["completion_probabilities"] = [_probability(said) for said in piece.said]
        if piece.finish is None:
            return sse(going)
        return (sse(going) if piece.said else b"") + sse(self._final("", piece.finish))

    def error(self, status: int, message: str, kind: str) -> bytes:
        return sse({"error": {"code": status, "message": message, "type": kind}})

    def empty(self) -> bytes:
        return sse({"index": 0, "content": "", "stop": False})

    def whole(self, piece: Piece) -> dict[str, Any]:
        return self._final(piece.reasoning + piece.text, piece.finish)

    def _final(self, text: str, finish: str | None) -> dict[str, Any]:
        return {
            "index": 0,
            "content": text,
            "tokens": [],
            "id_slot": 0,
            "stop": True,
            "model": self.model,
            "tokens_predicted": self.stated_tokens,
            "tokens_evaluated": self.prompt_tokens,
            "truncated": False,
            "stop_type": {"length": "limit", "stop": "eos"}.get(finish or "", "none"),
            "stopping_word": "",
            "tokens_cached": self.cached + self.said,
            "timings": _timings(self),
        }


def _probability(said: Said) -> dict[str, Any]:
    return {"id": said.token, "token": tokenizer.decode([said.token]), "logprob": said.logprob, "top_logprobs": []}


def _timings(speech: Speech) -> dict[str, Any]:
    return {"cache_n": speech.cached, "prompt_n": speech.prompt_tokens - speech.cached, "predicted_n": speech.said}


def parse_native(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    limit = body.get("n_predict", body.get("max_tokens"))
    unlimited = terms.limits.max_model_len // 2
    asked = dict(body) | {"max_tokens": unlimited if limit is None or limit < 0 else limit}
    return parse_completion(asked | {"logprobs": body.get("n_probs") or None}, terms, name)


async def slots(service: Service, exchange: Exchange) -> None:
    """A task for the engine's only loop: it hangs with it."""
    found = [_slot(service, slot) for slot in await service.core.call("slots")]
    free = any(not slot["is_processing"] for slot in found)
    if exchange.parameter("fail_on_no_slot", "") and not free:
        raise ApiError(503, "no slot available", "unavailable_error")
    await exchange.reply(200, found)


def _slot(service: Service, slot: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": slot["id"],
        "n_ctx": service.settings.limits.max_model_len,
        "is_processing": slot["busy"],
        "n_prompt_tokens": slot["prompt"],
        "next_token": [{"has_next_token": slot["busy"], "n_remain": slot["left"], "n_decoded": slot["decoded"]}],
    }


async def props(service: Service, exchange: Exchange) -> None:
    asleep = service.unloaded and not service.board.active.deny_sleep()
    limits = service.settings.limits
    document = {"total_slots": limits.max_num_seqs, "model_path": service.settings.model, "build_info": _BUILD}
    await exchange.reply(200, document | {"is_sleeping": asleep, "default_generation_settings": {}})


async def metrics(service: Service, exchange: Exchange) -> None:
    """Gathered by the engine's loop too."""
    await service.core.call("stats")
    await exchange.reply_bytes(200, service.meter.page() or b"", b"text/plain; version=0.0.4")


_ROUTES: Final[Routes] = {
    ("GET", "/health"): static_health,
    ("GET", "/v1/health"): static_health,
    ("GET", "/slots"): slots,
    ("GET", "/props"): props,
    ("GET", "/metrics"): metrics,
    ("GET", "/v1/models"): models,
    ("GET", "/models"): models,
    ("POST", "/completion"): generating(parse_native, NativeSpeech),
    ("POST", "/completions"): generating(parse_native, NativeSpeech),
}


def _routes(settings: Settings) -> Routes:
    del settings
    return _ROUTES | generation_routes(LlamaSpeech)


def _error_body(error: ApiError) -> Any:
    return {"error": {"code": error.status, "message": str(error), "type": error.kind}}


DIALECT: Final = Dialect(
    name="llamacpp",
    routes=_routes,
    meter=LlamaMeter,
    guarded=lambda path: path not in ("/health", "/v1/health"),
    any_model=True,
    completion_tokens=256,
    error_body=_error_body,
    shows_loading=True,
)
