"""The server of llama.cpp (2025-05 and later), asked at its native `/completion`.

The native stream has an end of its own (`stop: true`), which does not come after an error, and tells the token ids.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.core.canaries import Content
from llm_watchdog.core.observations import MetricsReading, StatusReading
from llm_watchdog.engines.dialect import (
    Ask,
    Call,
    Capabilities,
    EndRule,
    Framing,
    StatusCall,
    StreamEvent,
)
from llm_watchdog.engines.json_bodies import as_number, as_object, json_object, json_value
from llm_watchdog.engines.metrics_page import read_sums
from llm_watchdog.engines.openai import OpenAI, as_count, as_list, error_event

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNNING: Final = "llamacpp:requests_processing"
WAITING: Final = "llamacpp:requests_deferred"
DECODES: Final = "llamacpp:n_decode_total"
"""Batches, of prompts too. `tokens_predicted_total` moves when a slot is released only (unsloth#9997)."""
WANTED: Final = frozenset({RUNNING, WAITING, DECODES})

PROPS: Final = "props"
SLOTS: Final = "slots"

_FINISH: Final = {"eos": "stop", "word": "stop", "limit": "length"}


class LlamaCpp(OpenAI):
    """`engine.type: llamacpp`."""

    health: Call = Call(method="GET", path="/health")
    version_path: str | None = "/props"
    version_field: str = "build_info"
    metrics_path: str | None = "/metrics"
    status_calls: tuple[StatusCall, ...] = (
        StatusCall(name=PROPS, call=Call(method="GET", path="/props"), seconds=2.0, guards=True),
        StatusCall(name=SLOTS, call=Call(method="GET", path="/slots"), seconds=2.0, wakes=True),
    )
    """Its own sleep (`--sleep-idle-seconds`) ends with the next request, so it is no state that somebody has to end.
    `/slots` is answered between two batches: a long one delays it."""
    shapes: tuple[str, ...] = ("completion",)
    framing: Framing = Framing.SSE
    cumulative: bool = False
    end: EndRule = EndRule()
    """The terminator is the event that brings the finish reason."""
    capabilities: Capabilities = Capabilities(
        canary="stream of /completion with token ids; takes the slot that was used least, whose cached prompt it ends",
        progress="n_decode_total with --metrics, n_decoded of each slot on /slots; others move at a request's end",
        load="processing and deferred requests on /metrics with --metrics; busy slots on /slots",
        sleep="by itself with --sleep-idle-seconds, read at /props; a canary puts it off",
        abort="by closing the connection",
        cache_bypass="cache_prompt: false",
        end_of_stream="stop: true with stop_type eos, word or limit; an error ends the stream without it",
    )

    def generate(self, shape: str, ask: Ask) -> Call:  # noqa: ARG002
        """Raw text, no chat template; a plain canary is never ended by the model itself."""
        body: dict[str, Any] = {
            "prompt": ask.prompt,
            "n_predict": ask.max_tokens,
            "temperature": 0,
            "stream": True,
            "return_tokens": True,
        }
        if ask.model is not None:
            body["model"] = ask.model  # a router in front of several servers needs it
        if not ask.free_stop:
            body["ignore_eos"] = True
        if ask.logprobs:
            body["n_probs"] = 1
        if ask.cold:
            body["cache_prompt"] = False
        return Call(method="POST", path="/completion", body=body, headers={"X-Request-Id": ask.request_id})

    def read_event(self, data: str) -> StreamEvent | None:
        """Some tokens, or the end.

        The number of all tokens in the last event is not taken for the usage: tokens that end inside a character are
        not sent, so that fewer may have come.
        """
        event = json_object(data)
        if event.get("error"):
            return error_event(event["error"])
        text = event.get("content")
        if not isinstance(text, str):
            return None
        ids = tuple(i for i in as_list(event.get("tokens")) if isinstance(i, int) and not isinstance(i, bool))
        is_last = event.get("stop") is True
        return StreamEvent(
            tokens=len(ids) or int(bool(text)),
            finish=_finish(event.get("stop_type")) if is_last else None,
            content=Content(
                text=text,
                token_ids=ids,
                logprobs=() if is_last else _logprobs(event),
                prompt_tokens=as_count(event.get("tokens_evaluated")),
                cached_tokens=as_count(as_object(event.get("timings")).get("cache_n")),
            ),
            end=is_last,
        )

    def read_metrics(self, page: str) -> MetricsReading | None:
        """Its token counters are left out: they stand still while a request runs."""
        sums = read_sums(page, WANTED)
        if sums is None or RUNNING not in sums:
            return None
        return MetricsReading(running=sums.get(RUNNING), waiting=sums.get(WAITING), progress=sums.get(DECODES))

    def read_status(self, name: str, body: bytes) -> StatusReading | None:
        """Slots and sleep."""
        if name == PROPS:
            return _read_props(json_object(body))
        return _read_slots(json_value(body)) if name == SLOTS else None


def _read_props(props: Mapping[str, Any]) -> StatusReading | None:
    slots, asleep = as_count(props.get("total_slots")), props.get("is_sleeping")
    if slots is None and not isinstance(asleep, bool):
        return None
    return StatusReading(slots=slots, unloaded=asleep if isinstance(asleep, bool) else None)


def _read_slots(value: object) -> StatusReading | None:
    slots = [slot for slot in as_list(value) if isinstance(slot, dict) and isinstance(slot.get("is_processing"), bool)]
    if not slots:
        return None
    steps = [_steps(slot) for slot in slots if slot["is_processing"]]
    # A digest, not a sum: one slot may end while another begins.
    return StatusReading(slots=len(slots), busy=len(steps), progress=float(zlib.crc32(repr(steps).encode())))


def _steps(slot: Mapping[str, Any]) -> tuple[object, ...]:
    """All that moves while a slot works, in its prompt and after it."""
    token = slot.get("next_token")
    token = as_object(next(iter(token), None) if isinstance(token, list) else token)
    fields = ("id", "id_task", "n_prompt_tokens", "n_prompt_tokens_processed")
    return (*(slot.get(field) for field in fields), token.get("n_decoded"))


def _finish(stop_type: object) -> str | None:
    return _FINISH.get(stop_type, stop_type) if isinstance(stop_type, str) else None


def _logprobs(event: Mapping[str, Any]) -> tuple[float | None, ...]:
    told = [entry for entry in as_list(event.get("completion_probabilities")) if isinstance(entry, dict)]
    return tuple(as_number(entry.get("logprob")) for entry in told)
