"""vLLM 0.8 and later: what it adds to an OpenAI-compatible server, under its old and new names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.core.observations import MetricsReading
from llm_watchdog.core.request_ids import whole
from llm_watchdog.engines.dialect import Ask, Call, Capabilities, EndRule, Flush, StatePath, base_models
from llm_watchdog.engines.forbidden import Fact, Forbidden
from llm_watchdog.engines.json_bodies import json_object
from llm_watchdog.engines.metrics_page import Sums, read_sums
from llm_watchdog.engines.openai import COMPLETIONS, OpenAI
from llm_watchdog.engines.power import LEVELS, PowerWays

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RUNNING: Final = "vllm:num_requests_running"
WAITING: Final = "vllm:num_requests_waiting"
KV_USAGE: Final = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
"""New name (since 0.9) and old name (until 0.11)."""
PROMPT_TOKENS: Final = "vllm:prompt_tokens_total"
GENERATION_TOKENS: Final = "vllm:generation_tokens_total"
CACHE_HITS: Final = ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")
"""Tokens; new name (since 0.9) and old name (until 0.11)."""
SLEEP_STATE: Final = "vllm:engine_sleep_state"
"""Since 0.11."""
FINISHED: Final = "vllm:request_success_total"
"""By finish reason. A client that leaves is counted under none of them (vllm#31503)."""
CORRUPTED: Final = "vllm:corrupted_requests_total"
"""Since 0.11, with `VLLM_COMPUTE_NANS_IN_LOGITS=1`."""
FIRST_TOKEN: Final = "vllm:time_to_first_token_seconds"
PROCESS_START: Final = "process_start_time_seconds"

SLEEP: Final = "/sleep"
FLUSH: Final = Call(method="POST", path="/reset_prefix_cache")

EVERYBODYS: Final = "without ids it aborts everybody's requests"

HTTP_REQUESTS: Final = "http_requests_total"
"""By handler, and by status as `2xx` and `5xx`: tells of wakes by somebody else too."""
WAKE: Final = "/wake_up"

WANTED: Final = frozenset(
    {
        RUNNING,
        WAITING,
        *KV_USAGE,
        PROMPT_TOKENS,
        GENERATION_TOKENS,
        *CACHE_HITS,
        SLEEP_STATE,
        FINISHED,
        CORRUPTED,
        f"{FIRST_TOKEN}_sum",
        f"{FIRST_TOKEN}_count",
        PROCESS_START,
        HTTP_REQUESTS,
    }
)


def _post(path: str, body: Mapping[str, Any] | None = None) -> Call:
    return Call(method="POST", path=path, body=body)


class Vllm(OpenAI):
    """`engine.type: vllm`."""

    health: Call = Call(method="GET", path="/health")
    metrics_path: str | None = "/metrics"
    load_path: str | None = "/load"
    version_path: str | None = "/version"
    state_paths: tuple[StatePath, ...] = (
        StatePath(path="/is_sleeping", field="is_sleeping", tells_sleep=True),
        StatePath(path="/is_paused", field="is_paused", tells_sleep=False),
    )
    """Dev mode only. Both are asked: older versions tell a pause in the second alone."""

    flush: Flush | None = Flush(call=FLUSH, needs="needs VLLM_SERVER_DEV_MODE=1 in its environment")
    power: PowerWays | None = PowerWays(
        sleep={level: (_post(f"{SLEEP}?level={level}"),) for level in LEVELS},
        wake={
            1: (_post(WAKE), FLUSH),
            # Without the reload a level-2 wake returns garbage in silence (vllm#29341). Up to 0.30 the first of these
            # calls resumes scheduling although the cache is not mapped yet, so nothing may be sent to it meanwhile.
            2: (
                _post(f"{WAKE}?tags=weights"),
                _post("/collective_rpc", {"method": "reload_weights"}),
                _post(f"{WAKE}?tags=kv_cache"),
                FLUSH,
            ),
        },
        needs="needs --enable-sleep-mode, and VLLM_SERVER_DEV_MODE=1 in its environment",
    )
    abort_needs: str = "needs vLLM 0.26 and VLLM_SERVER_DEV_MODE=1 in its environment"
    forbidden: tuple[Forbidden, ...] = (
        Forbidden(
            path="/resume",
            unless=frozenset({Fact.AWAKE}),
            why="it does not look whether the engine sleeps, and schedules on memory that was given away",
        ),
        Forbidden(
            path="/reset_prefix_cache",
            query="reset_running_requests",
            why="it takes users' requests out of the engine, and up to 0.26 their tokens may come out stale",
        ),
        Forbidden(path="/abort_requests", without="request_ids", why=EVERYBODYS),
        Forbidden(path="/inference/v1/abort_requests", without="request_ids", why=EVERYBODYS),
    )
    end: EndRule = EndRule(terminator_required=True)
    capabilities: Capabilities = Capabilities(
        canary="stream with token ids",
        progress="token counters (still in a prefill), cache use and gauges move with each step; a hang freezes all",
        load="running and waiting on /metrics; /load with --enable-server-load-tracking",
        flush="POST /reset_prefix_cache with VLLM_SERVER_DEV_MODE=1; its failure shows from 0.26 on",
        sleep="/is_sleeping, /is_paused with VLLM_SERVER_DEV_MODE=1; on /metrics since 0.11",
        abort="by closing the connection; own requests by id with VLLM_SERVER_DEV_MODE=1 (since 0.26)",
        cache_bypass="cache_salt (completions since 0.10, chat since 0.9)",
        end_of_stream="finish_reason stop or length, then [DONE], which also follows errors",
    )

    def generate(self, shape: str, ask: Ask) -> Call:
        """With token ids, so that a token without text counts; a plain canary is never ended by the model itself.

        The usage is asked of completions only: in a chat, parsers for tools and reasoning may hold tokens back.
        """
        call = super().generate(shape, ask)
        body = {**(call.body or {}), "return_token_ids": True}
        if shape == COMPLETIONS:
            body["stream_options"] = {"include_usage": True}
        if not ask.free_stop:
            body["ignore_eos"] = True
        if ask.cold:
            body["cache_salt"] = ask.cold
        return Call(method=call.method, path=call.path, body=body, headers=call.headers)

    def read_metrics(self, page: str) -> MetricsReading | None:
        """Summed over the data-parallel ranks; shares are their mean."""
        sums = read_sums(page, WANTED)
        if sums is None or RUNNING not in sums:
            return None
        awake = [value for labels, value in sums.samples(SLEEP_STATE) if labels.get("sleep_state") == "awake"]
        return MetricsReading(
            running=sums.get(RUNNING),
            waiting=sums.get(WAITING),
            kv_usage=next((share for name in KV_USAGE if (share := sums.mean(name)) is not None), None),
            prompt_tokens=sums.get(PROMPT_TOKENS),
            generation_tokens=sums.get(GENERATION_TOKENS),
            process_start=sums.get(PROCESS_START),
            asleep=sum(awake) == 0 if awake else None,
            cache_hits=_first(sums, CACHE_HITS),
            finished=sums.get(FINISHED),
            corrupted=sums.get(CORRUPTED),
            first_token_sum=sums.get(f"{FIRST_TOKEN}_sum"),
            first_token_count=sums.get(f"{FIRST_TOKEN}_count"),
            wake_errors=_wake_errors(sums),
        )

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """The base model only: its adapters (with a `parent`) and other names (of the same `root`) are no others."""
        return base_models(body)

    def read_flush(self, body: bytes) -> str:
        """Says so since 0.26; before, a flush beside a request was answered with 200 and did nothing."""
        done = json_object(body).get("success", True)
        return "" if done else "it answers that its blocks are in use: something runs in it"

    def abort(self, ids: Iterable[str]) -> tuple[Call, ...]:
        """All in one call, under the names that a completion and a chat get in the engine."""
        named = [name for each in whole(ids) for name in (f"cmpl-{each}-0", f"chatcmpl-{each}")]
        return (Call(method="POST", path="/abort_requests", body={"request_ids": named}),) if named else ()

    def read_abort(self, body: bytes) -> str:
        """It tells how many."""
        aborted = json_object(body).get("aborted")
        return "none of these requests of ours is known to it" if aborted == 0 else ""

    def read_load(self, body: bytes) -> int | None:
        """Always 0 without `--enable-server-load-tracking`."""
        load = json_object(body).get("server_load")
        return load if isinstance(load, int) else None


def _first(sums: Sums, names: tuple[str, ...]) -> float | None:
    return next((value for name in names if (value := sums.get(name)) is not None), None)


def _wake_errors(sums: Sums) -> float | None:
    if HTTP_REQUESTS not in sums:
        return None
    wakes = [(labels, count) for labels, count in sums.samples(HTTP_REQUESTS) if labels.get("handler") == WAKE]
    return sum(count for labels, count in wakes if labels.get("status", "").startswith("5"))
