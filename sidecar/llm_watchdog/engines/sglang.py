"""SGLang 0.4.6 and later, asked at its native `/generate`.

The native route tells what its OpenAI routes hide without flags: how many tokens there are, of which a random model's
may have no text, their ids, and how many of the prompt came from the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.core.canaries import Content
from llm_watchdog.core.observations import MetricsReading, StatusReading
from llm_watchdog.core.request_ids import whole
from llm_watchdog.engines.dialect import (
    Ask,
    Call,
    Capabilities,
    EndRule,
    Flush,
    Framing,
    StatePath,
    StatusCall,
    StreamEvent,
    base_models,
)
from llm_watchdog.engines.forbidden import Fact, Forbidden
from llm_watchdog.engines.json_bodies import as_number, as_object, json_object, json_value
from llm_watchdog.engines.metrics_page import Sums, read_sums
from llm_watchdog.engines.openai import DONE, OpenAI, as_count, as_list, error_event
from llm_watchdog.engines.power import LEVELS, PowerWays

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RUNNING: Final = "sglang:num_running_reqs"
WAITING: Final = "sglang:num_queue_reqs"
KV_USAGE: Final = "sglang:token_usage"
REALTIME_TOKENS: Final = "sglang:realtime_tokens_total"
"""Since 0.5.9, by `mode`. Moves every 40 decode steps; all other token counters move when a request ends."""
FINISHED: Final = "sglang:num_requests_total"
FIRST_TOKEN: Final = "sglang:time_to_first_token_seconds"
PROCESS_START: Final = "process_start_time_seconds"
WANTED: Final = frozenset(
    {RUNNING, WAITING, KV_USAGE, REALTIME_TOKENS, FINISHED, f"{FIRST_TOKEN}_sum", f"{FIRST_TOKEN}_count", PROCESS_START}
)

FLUSH: Final = Call(method="POST", path="/flush_cache")
PAUSE: Final = Call(method="POST", path="/pause_generation", body={"mode": "abort"})
"""From its answer on nothing runs, and what comes waits: the release finds an idle server, and no request finds it
released."""
IDLE_FLUSH: Final = Call(method="POST", path="/flush_cache?timeout=20")
"""Its 200 is the scheduler's own word that nothing runs in it; since 0.5.10 it waits so long for that."""
RELEASE: Final = Call(method="POST", path="/release_memory_occupation", body={})
RESUME: Final = Call(method="POST", path="/resume_memory_occupation", body={})
CONTINUE: Final = Call(method="POST", path="/continue_generation", body={})
A_TOKEN: Final = "it generates a token, in memory that may have been given away"
SERVER_INFO: Final = "server_info"
LOADS: Final = "loads"
MEMORY_SAVER: Final = (
    "SGLang runs with --enable-memory-saver: whether it sleeps cannot be read, and a canary may crash it then; "
    "set spec.power.state if nobody else puts it to sleep"
)


class SGLang(OpenAI):
    """`engine.type: sglang`."""

    health: Call = Call(method="GET", path="/ping")
    version_path: str | None = "/server_info"
    """Not `/health`: it generates, is not cancelled when its client gives up (sglang#35884), and fails in a pause."""
    metrics_path: str | None = "/metrics"
    state_paths: tuple[StatePath, ...] = (
        StatePath(path="/ready", tells_sleep=False, refusal=503, confirmed_by="/server_info"),
    )
    """Since 0.5.20: up and not paused. A scheduler that hangs makes it fail as well, and then `/server_info` hangs."""
    status_calls: tuple[StatusCall, ...] = (
        StatusCall(
            name=SERVER_INFO,
            call=Call(method="GET", path="/server_info"),
            older=(Call(method="GET", path="/get_server_info"),),
            seconds=5.0,
            guards=True,
        ),
        StatusCall(
            name=LOADS,
            call=Call(method="GET", path="/v1/loads?include=core"),
            older=(Call(method="GET", path="/get_load"),),
            seconds=2.0,
        ),
    )
    """The first is a round trip through the scheduler, which a long prefill delays; the second tells the load where
    metrics are off, as they are by default, and since 0.5.23 even of a dead scheduler."""
    shapes: tuple[str, ...] = ("generate",)
    framing: Framing = Framing.SSE
    cumulative: bool = True
    end: EndRule = EndRule(terminator_required=True)
    flush: Flush | None = Flush(call=FLUSH, needs="this version has no /flush_cache")
    power: PowerWays | None = PowerWays(
        sleep=dict.fromkeys(LEVELS, (PAUSE, IDLE_FLUSH, RELEASE)),
        wake=dict.fromkeys(LEVELS, (RESUME, FLUSH, CONTINUE)),
        needs="needs SGLang 0.5.7 and --enable-memory-saver",
        proves={IDLE_FLUSH.path: Fact.IDLE, RESUME.path: Fact.AWAKE},
        stays_awake=(CONTINUE,),
    )
    """Both levels are one: what is released is left out, or read again, by how it was started."""
    abort_needs: str = "this version has no /abort_request"
    forbidden: tuple[Forbidden, ...] = (
        Forbidden(
            path="/release_memory_occupation",
            unless=frozenset({Fact.IDLE}),
            why="since 0.5.5 it kills a busy server, and before it unmapped the cache under running requests",
        ),
        Forbidden(
            path="/resume_memory_occupation",
            unless=frozenset({Fact.RELEASED}),
            why="memory that was not released, or was resumed before, kills the server",
        ),
        Forbidden(
            path="/continue_generation",
            unless=frozenset({Fact.AWAKE}),
            why="it does not look whether memory is released, and schedules on what was given away",
        ),
        Forbidden(path="/health", unless=frozenset({Fact.AWAKE}), why=A_TOKEN),
        Forbidden(path="/health_generate", unless=frozenset({Fact.AWAKE}), why=A_TOKEN),
        Forbidden(path="/abort_request", field="abort_all", why="it aborts everybody's requests"),
        Forbidden(
            path="/abort_request", without="rid", why="ids match by prefix, and an empty one is every id's prefix"
        ),
    )
    capabilities: Capabilities = Capabilities(
        canary="stream of /generate with token ids; with --enable-memory-saver only where spec.power.state is set",
        progress="realtime_tokens_total (since 0.5.9) every 40 decode steps; others move at a request's end",
        load="running and waiting on /metrics with --enable-metrics, else /v1/loads (since 0.5.9) or /get_load",
        flush="/flush_cache; 400 while anything runs",
        sleep="with --enable-memory-saver, cannot be read; a pause shows since 0.5.20, before it looks like a hang",
        abort="by closing the connection, or POST /abort_request with the request's id",
        cache_bypass="extra_key (since 0.5.3)",
        end_of_stream="finish_reason stop or length, then [DONE], which also follows errors",
    )

    def generate(self, shape: str, ask: Ask) -> Call:  # noqa: ARG002
        """Raw text, no chat template; a plain canary is never ended by the model itself."""
        sampling: dict[str, Any] = {"max_new_tokens": ask.max_tokens, "temperature": 0}
        if not ask.free_stop:
            sampling["ignore_eos"] = True
        body: dict[str, Any] = {
            "text": ask.prompt,
            "rid": ask.request_id,
            "sampling_params": sampling,
            "stream": True,
        }
        if ask.logprobs:
            body["return_logprob"] = True
        if ask.cold:
            body["extra_key"] = ask.cold
        return Call(method="POST", path="/generate", body=body, headers={"X-Request-Id": ask.request_id})

    def read_event(self, data: str) -> StreamEvent | None:
        """Everything so far. `[DONE]` follows errors too."""
        if data.strip() == DONE:
            return StreamEvent(end=True)
        event = json_object(data)
        if event.get("error"):
            return error_event(event["error"])
        if "meta_info" not in event:
            return None
        meta, text = as_object(event["meta_info"]), event.get("text")
        completion = as_count(meta.get("completion_tokens"))
        reason = meta.get("finish_reason")
        finish = as_object(reason).get("type", reason)
        return StreamEvent(
            tokens=completion or 0,
            finish=finish if isinstance(finish, str) else None,
            content=Content(
                text=text if isinstance(text, str) else "",
                token_ids=_whole(event.get("output_ids"), completion),
                logprobs=tuple(_logprob(entry) for entry in as_list(meta.get("output_token_logprobs"))),
                prompt_tokens=as_count(meta.get("prompt_tokens")),
                completion_tokens=completion,
                cached_tokens=as_count(meta.get("cached_tokens")),
            ),
        )

    def abort(self, ids: Iterable[str]) -> tuple[Call, ...]:
        """One call for each: it takes one id, and with it all that begin so."""
        return tuple(Call(method="POST", path="/abort_request", body={"rid": each}) for each in whole(ids))

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """Without adapters."""
        return base_models(body)

    def read_metrics(self, page: str) -> MetricsReading | None:
        """Summed over the data-parallel ranks; shares are their mean."""
        sums = read_sums(page, WANTED)
        if sums is None or RUNNING not in sums:
            return None
        return MetricsReading(
            running=_total(sums, RUNNING),
            waiting=_total(sums, WAITING),
            kv_usage=sums.mean(KV_USAGE),
            prompt_tokens=_total(sums, REALTIME_TOKENS, mode="prefill_compute"),
            generation_tokens=_total(sums, REALTIME_TOKENS, mode="decode"),
            progress=_total(sums, REALTIME_TOKENS),
            finished=sums.get(FINISHED),
            first_token_sum=sums.get(f"{FIRST_TOKEN}_sum"),
            first_token_count=sums.get(f"{FIRST_TOKEN}_count"),
            process_start=sums.get(PROCESS_START),
        )

    def read_status(self, name: str, body: bytes) -> StatusReading | None:
        """How it was started, and what runs and waits."""
        if name == SERVER_INFO:
            return _read_server_info(json_object(body))
        return _read_loads(json_value(body)) if name == LOADS else None


def _read_server_info(info: Mapping[str, Any]) -> StatusReading | None:
    states = [as_object(state) for state in as_list(info.get("internal_states"))]
    if not states:
        return None
    slots = [as_count(state.get("effective_max_running_requests_per_dp")) for state in states]
    known = [count for count in slots if count is not None]
    return StatusReading(
        slots=sum(known) if len(known) == len(states) else as_count(info.get("max_running_requests")),
        no_canary=MEMORY_SAVER if info.get("enable_memory_saver") is True else "",
    )


def _read_loads(value: object) -> StatusReading | None:
    """`/v1/loads`, or the list of `/get_load`, whose `num_reqs` counts those that wait too."""
    ranks = [as_object(rank) for rank in as_list(as_object(value).get("loads", value))]
    waiting = [as_count(rank.get("num_waiting_reqs")) for rank in ranks]
    running = [_running(rank) for rank in ranks]
    if not ranks or None in waiting or None in running:
        return None
    return StatusReading(
        busy=sum(count for count in running if count is not None),
        waiting=sum(count for count in waiting if count is not None),
    )


def _running(rank: Mapping[str, Any]) -> int | None:
    counted, waiting = as_count(rank.get("num_reqs")), as_count(rank.get("num_waiting_reqs"))
    told = as_count(rank.get("num_running_reqs"))
    if told is None and counted is not None and waiting is not None:
        return max(0, counted - waiting)
    return told


def _total(sums: Sums, name: str, mode: str | None = None) -> float | None:
    """With `--enable-metrics-for-all-schedulers` every rank of a model tells the same: the first one counts."""
    values = [
        value
        for labels, value in sums.samples(name)
        if all(labels.get(rank, "0") == "0" for rank in ("tp_rank", "pp_rank")) and mode in (None, labels.get("mode"))
    ]
    return sum(values) if values else None


def _whole(ids: object, completion: int | None) -> tuple[int, ...]:
    """With `--stream-output` an event holds the newest ids only, from which nothing can be told."""
    found = tuple(i for i in as_list(ids) if isinstance(i, int) and not isinstance(i, bool))
    return found if len(found) == completion else ()


def _logprob(entry: object) -> float | None:
    """Of `[logprob, id, text]`."""
    return as_number(next(iter(as_list(entry)), None))
