"""SGLang 0.5.2x: health that generates, counters that move when a request ends, and a sleep that cannot be read."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from .. import errors
from ..answering import generating
from ..exchange import Exchange
from ..generation import Generation, Terms, parse_completion
from ..meter import Meter
from ..request import Request, Said, Stats
from ..service import Routes, Service
from ..settings import Settings
from ..speech import Piece, Speech, spaced_sse, sse
from ..states import notice_wake
from .kind import Dialect
from .openai import OpenAISpeech, generation_routes, models
from .pages import Series, page

VERSION: Final = "0.5.22"
_HEALTH_POLL_SECONDS: Final = 1.0  # so /health never answers in less
_HEALTH_TIMEOUT_SECONDS: Final = 20
_HEALTH_TOKEN: Final = 16


class SglangMeter(Meter):
    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._finished = self._prompt_tokens = self._tokens = self._first_tokens = 0
        self._first_token_seconds = 0.0
        self._started = time.time()

    def count_first_token(self, seconds: float, prompt_tokens: int) -> None:
        del prompt_tokens
        self._first_tokens += 1
        self._first_token_seconds += seconds

    def count_finished(self, reason: str, seconds: float, prompt_tokens: int, tokens: int) -> None:
        """Tokens count when the request ends, not before."""
        del reason, seconds
        self._finished += 1
        self._prompt_tokens += prompt_tokens
        self._tokens += tokens

    def page(self) -> bytes:
        stats, labels = self.stats, {"model_name": self.model, "engine_type": "unified", "tp_rank": "0"}
        gauges = {
            "num_running_reqs": stats.running,
            "num_queue_reqs": stats.waiting,
            "token_usage": round(stats.kv_usage, 4),
            "gen_throughput": 0.0,
            "num_paused_reqs": 0,
            "num_retracted_reqs": 0,
        }
        counters = {
            "prompt_tokens_total": self._prompt_tokens,
            "generation_tokens_total": self._tokens,
            "cached_tokens_total": stats.prefix_hits,
            "num_requests_total": self._finished,
        }
        realtime = {"decode": stats.decoded, "prefill_compute": stats.prefilled, "prefill_cache": stats.prefix_hits}
        return page(
            [
                *(Series(f"sglang:{name}", "gauge", float(value), labels) for name, value in gauges.items()),
                *(Series(f"sglang:{name}", "counter", float(value), labels) for name, value in counters.items()),
                Series("sglang:time_to_first_token_seconds", "histogram", self._first_token_seconds, labels, "_sum"),
                Series("sglang:time_to_first_token_seconds", "histogram", float(self._first_tokens), labels, "_count"),
                Series("process_start_time_seconds", "gauge", self._started, {}),
                *(
                    Series("sglang:realtime_tokens_total", "counter", float(value), labels | {"mode": mode})
                    for mode, value in realtime.items()
                ),
            ]
        )


@dataclass(slots=True)
class NativeSpeech(Speech):
    """`/generate`: cumulative text and ids, and everything else under `meta_info`."""

    all_said: list[Said] = field(default_factory=list)

    def chunk(self, piece: Piece) -> bytes:
        self.all_said += piece.said
        return spaced_sse(self._document(self.text, piece.finish))

    def error(self, status: int, message: str, kind: str) -> bytes:
        del kind
        return sse({"error": {"message": message, "code": status}})

    def empty(self) -> bytes:
        return spaced_sse({"text": "", "meta_info": {}})

    def whole(self, piece: Piece) -> dict[str, Any]:
        self.all_said = piece.said
        return self._document(piece.reasoning + piece.text, piece.finish)

    def _document(self, text: str, finish: str | None) -> dict[str, Any]:
        reason = None if finish is None else {"type": finish, "length" if finish == "length" else "matched": self.said}
        meta: dict[str, Any] = {
            "id": self.generation.answer_id,
            "finish_reason": reason,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.stated_tokens,
            "cached_tokens": self.cached,
        }
        if self.generation.logprobs is not None:
            meta["output_token_logprobs"] = [[said.logprob, said.token, None] for said in self.all_said]
        return {"text": text, "output_ids": [said.token for said in self.all_said], "meta_info": meta}


def parse_generate(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    sampling = body.get("sampling_params") or {}
    asked = {
        "prompt": body.get("text", body.get("input_ids")),
        "max_tokens": sampling.get("max_new_tokens", 128),
        "temperature": sampling.get("temperature", 1.0),
        "ignore_eos": sampling.get("ignore_eos"),
        "stop": sampling.get("stop"),
        "stream": body.get("stream"),
        "cache_salt": body.get("cache_salt") or body.get("extra_key"),
        "logprobs": 0 if body.get("return_logprob") else None,
    }
    return parse_completion(asked, terms, body.get("rid") or name)


async def health(service: Service, exchange: Exchange) -> None:
    """One token when idle, any output when busy; answers in steps of a second."""
    began = time.monotonic()
    probe = None
    if service.meter.stats.running == 0 and not service.core.holding:
        probe = service.core.submit(Request(f"HEALTH_CHECK_{uuid4().hex}", [_HEALTH_TOKEN], seed=0, max_tokens=1))
    try:
        for _ in range(_HEALTH_TIMEOUT_SECONDS):
            await asyncio.sleep(_HEALTH_POLL_SECONDS)
            if service.core.last_output > began:
                await exchange.reply_bytes(200, b"", None)
                return
    finally:
        if probe is not None:
            service.core.abort(probe)
    await exchange.reply_bytes(503, b"", None)


async def ready(service: Service, exchange: Exchange) -> None:
    await exchange.reply_bytes(503 if service.core.holding else 200, b"", None)


async def server_info(service: Service, exchange: Exchange) -> None:
    """A round trip to the scheduler: it hangs with it."""
    stats = Stats(*await service.core.call("stats"))
    state = {"last_gen_throughput": 0.0, "memory_usage": {"token_capacity": _capacity(service)}}
    model, saver = service.settings.model, service.settings.memory_saver
    document = {"version": VERSION, "model_path": model, "served_model_name": model, "enable_memory_saver": saver}
    await exchange.reply(200, document | {"internal_states": [state | {"num_running_reqs": stats.running}]})


async def model_info(service: Service, exchange: Exchange) -> None:
    await exchange.reply(200, {"model_path": service.settings.model, "is_generation": True})


async def loads(service: Service, exchange: Exchange) -> None:
    """A snapshot in shared memory: it answers while the scheduler is dead."""
    stats = service.meter.stats
    load = {
        "dp_rank": 0,
        "timestamp": time.time(),
        "num_running_reqs": stats.running,
        "num_waiting_reqs": stats.waiting,
        "num_used_tokens": int(stats.kv_usage * _capacity(service)),
        "max_total_num_tokens": _capacity(service),
        "token_usage": stats.kv_usage,
        "gen_throughput": 0.0,
    }
    await exchange.reply(200, {"timestamp": time.time(), "dp_rank_count": 1, "version": VERSION, "loads": [load]})


async def get_load(service: Service, exchange: Exchange) -> None:
    stats = service.meter.stats
    load = {
        "dp_rank": 0,
        "num_reqs": stats.running + stats.waiting,
        "num_waiting_reqs": stats.waiting,
        "num_tokens": int(stats.kv_usage * _capacity(service)),
    }
    await exchange.reply(200, [load])


async def metrics(service: Service, exchange: Exchange) -> None:
    await exchange.reply_bytes(200, service.meter.page() or b"", b"text/plain; version=0.0.4; charset=utf-8")


async def flush_cache(service: Service, exchange: Exchange) -> None:
    flushed = await service.core.call("reset_prefix_cache")
    text = b"Cache flushed.\nPlease check backend logs for more details. (When there are running or waiting requests, "
    await exchange.reply_bytes(
        200 if flushed else 400, text + b"the operation will not be performed.)\n", b"text/plain; charset=utf-8"
    )


async def abort_request(service: Service, exchange: Exchange) -> None:
    """Always 200; ids match by prefix."""
    body = exchange.json_body()
    if body.get("abort_all"):
        service.core.abort_requests(None)
    elif body.get("rid"):
        service.core.abort_requests([f"cmpl-{body['rid']}-0", f"chatcmpl-{body['rid']}"])
    await exchange.reply_bytes(200, b"", None)


async def pause(service: Service, exchange: Exchange) -> None:
    modes = {"abort": "abort", "retract": "keep", "in_place": "keep"}
    mode = modes.get(exchange.json_body().get("mode", "abort"), "abort")
    service.core.holding = service.paused = True
    await service.core.call("pause", mode=mode)
    await exchange.reply(200, {"status": "ok", "message": "Generation paused successfully."})


async def _dies_if(service: Service, *, wrong: bool) -> None:
    """Assertions of its scheduler, each of which ends the whole server; without a memory saver there are none."""
    if wrong and service.settings.memory_saver:
        await service.core.stop()
        raise errors.EngineDeadError


async def go_on(service: Service, exchange: Exchange) -> None:
    await _dies_if(service, wrong=service.released)
    service.paused = False
    if not service.board.active.wake_in_name_only():
        await service.core.call("resume")
        service.core.release()
    await exchange.reply(200, {"status": "ok", "message": "Generation continued successfully."})


async def release_memory(service: Service, exchange: Exchange) -> None:
    exchange.json_body()
    stats = Stats(*await service.core.call("stats"))
    await _dies_if(service, wrong=stats.running + stats.waiting > 0)
    service.core.holding = service.released = True
    await service.core.call("sleep", level=1, mode="abort")
    await exchange.reply_bytes(200, b"", None)


async def resume_memory(service: Service, exchange: Exchange) -> None:
    exchange.json_body()
    active = service.board.active
    failure = active.wake_status()
    if failure is not None:
        raise errors.turned_away(failure, "CUDA out of memory. Tried to allocate 2.00 GiB.")
    await _dies_if(service, wrong=not service.released)
    service.released = False
    if not active.wake_in_name_only():
        await service.core.call("wake_up", tags=None)
        notice_wake(service)
        if not service.paused:
            service.core.release()
    await exchange.reply_bytes(200, b"", None)


def _capacity(service: Service) -> int:
    return service.settings.limits.kv_blocks * 16


_ROUTES: Final[Routes] = {
    ("GET", "/health"): health,
    ("GET", "/health_generate"): health,
    ("GET", "/ready"): ready,
    ("GET", "/ping"): ready,
    ("GET", "/server_info"): server_info,
    ("GET", "/get_server_info"): server_info,
    ("GET", "/model_info"): model_info,
    ("GET", "/get_model_info"): model_info,
    ("GET", "/v1/loads"): loads,
    ("GET", "/get_load"): get_load,
    ("GET", "/metrics"): metrics,
    ("GET", "/v1/models"): models,
    ("GET", "/flush_cache"): flush_cache,
    ("POST", "/flush_cache"): flush_cache,
    ("POST", "/abort_request"): abort_request,
    ("POST", "/pause_generation"): pause,
    ("POST", "/continue_generation"): go_on,
    ("POST", "/release_memory_occupation"): release_memory,
    ("POST", "/resume_memory_occupation"): resume_memory,
    ("POST", "/generate"): generating(parse_generate, NativeSpeech),
}


def _routes(settings: Settings) -> Routes:
    del settings
    return _ROUTES | generation_routes(OpenAISpeech)


def _guarded(path: str) -> bool:
    return not path.startswith(("/health", "/ready", "/metrics"))


def _error_body(error: errors.ApiError) -> Any:
    return {"object": "error", "message": str(error), "type": error.kind, "param": None, "code": error.status}


DIALECT: Final = Dialect(
    name="sglang", routes=_routes, meter=SglangMeter, guarded=_guarded, any_model=True, error_body=_error_body
)
