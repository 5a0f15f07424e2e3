"""What each engine sends for a canary of four tokens, in its own words: written from its documented fields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from llm_watchdog.api.policy import EngineType

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A good stream, event by event, and what an error looks like in it."""

    media_type: str
    tokens: tuple[bytes, ...]
    finish: bytes
    """With the finish reason; the terminator is not in it where it comes apart."""
    terminator: bytes
    error: bytes
    cached_tokens: int | None = None

    @property
    def good(self) -> tuple[bytes, ...]:
        return (*self.tokens, self.finish, self.terminator)


def sse(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


DONE = b"data: [DONE]\n\n"


def vllm(tokens: int, finish: str | None = None) -> bytes:
    choice = {"index": 0, "text": " one", "token_ids": [7] * tokens, "finish_reason": finish}
    return sse({"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": None})


def sglang(tokens: int, finish: dict[str, Any] | None = None) -> bytes:
    meta = {
        "id": "llm-watchdog-p-1",
        "finish_reason": finish,
        "prompt_tokens": 8,
        "completion_tokens": tokens,
        "cached_tokens": 7,
        "output_token_logprobs": [[-0.5, 7, None]] * tokens,
    }
    return sse({"text": " one" * tokens, "output_ids": [7] * tokens, "meta_info": meta})


def llamacpp(**more: object) -> bytes:
    event = {"index": 0, "content": " one", "tokens": [7], "stop": False, "id_slot": 0, "tokens_predicted": 1}
    return sse({**event, "tokens_evaluated": 8, **more})


def tgi(index: int, **more: object) -> bytes:
    token = {"id": 7, "text": " one", "logprob": -0.5, "special": False}
    return sse({"index": index, "token": token, "generated_text": None, "details": None, **more})


def ollama(**more: object) -> bytes:
    return line({"model": "m", "created_at": "2026-11-21T12:00:00Z", "response": " one", "done": False, **more})


_LAST_OF_LLAMACPP = {
    "content": "",
    "tokens": [],
    "stop": True,
    "stop_type": "limit",
    "tokens_predicted": 4,
    "timings": {"cache_n": 7, "prompt_n": 1, "predicted_n": 4},
}

STREAMS = {
    EngineType.VLLM: Stream(
        media_type=SSE,
        tokens=(vllm(1), vllm(2)),
        finish=vllm(1, "length"),
        terminator=sse({"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": 4}}) + DONE,
        error=sse({"error": {"message": "EngineCore encountered an issue.", "type": "Internal", "code": 500}}) + DONE,
    ),
    EngineType.SGLANG: Stream(
        media_type=SSE,
        tokens=(sglang(1), sglang(3)),
        finish=sglang(4, {"type": "length", "length": 4}),
        terminator=DONE,
        error=sse({"error": {"message": "The scheduler is gone", "code": 500}}) + DONE,
        cached_tokens=7,
    ),
    EngineType.LLAMACPP: Stream(
        media_type=SSE,
        tokens=(b":\n\n", llamacpp(), llamacpp(), llamacpp(content="", tokens=[9]), llamacpp()),
        finish=llamacpp(**_LAST_OF_LLAMACPP),
        terminator=b"",
        error=sse({"error": {"message": "slot unavailable", "type": "server_error", "code": 500}}),
        cached_tokens=7,
    ),
    EngineType.TGI: Stream(
        media_type=SSE,
        tokens=(tgi(1), tgi(2), tgi(3)),
        finish=tgi(4, generated_text=" one one", details={"finish_reason": "length", "generated_tokens": 4}),
        terminator=b"",
        error=sse({"error": "Request failed during generation: CUDA error", "error_type": "generation"}),
    ),
    EngineType.OLLAMA: Stream(
        media_type=NDJSON,
        tokens=(ollama(), ollama(), ollama(), ollama()),
        finish=ollama(response="", done=True, done_reason="length", prompt_eval_count=8, eval_count=5),
        terminator=b"",
        error=line({"error": "an error was encountered while running the model: CUDA error"}),
    ),
}
