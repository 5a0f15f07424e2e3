"""Hugging Face's Text Generation Inference (3.x, in maintenance), asked at its native `/generate_stream`.

The last native event carries the whole text and the reason of the end, and nothing follows an error; on its OpenAI
routes `[DONE]` follows errors too.
"""

from __future__ import annotations

from typing import Any, Final

from llm_watchdog.core.canaries import Content
from llm_watchdog.core.observations import MetricsReading
from llm_watchdog.engines.dialect import Ask, Call, Capabilities, EndRule, Framing, StreamEvent
from llm_watchdog.engines.json_bodies import as_number, as_object, json_object
from llm_watchdog.engines.metrics_page import read_sums
from llm_watchdog.engines.openai import OpenAI, as_count, error_event

RUNNING: Final = "tgi_batch_current_size"
WAITING: Final = "tgi_queue_size"
BATCHES: Final = "tgi_batch_inference_count"
"""Prefill and decode calls: the only number that moves within a request."""
SUCCEEDED: Final = "tgi_request_success"
FAILED: Final = "tgi_request_failure"
WANTED: Final = frozenset({RUNNING, WAITING, BATCHES, SUCCEEDED, FAILED})

_FINISH: Final = {"eos_token": "stop", "stop_sequence": "stop"}


class Tgi(OpenAI):
    """`engine.type: tgi`."""

    health: Call = Call(method="GET", path="/health")
    version_path: str | None = "/info"
    metrics_path: str | None = "/metrics"
    shapes: tuple[str, ...] = ("generate_stream",)
    framing: Framing = Framing.SSE
    cumulative: bool = False
    end: EndRule = EndRule(terminator_required=True)
    capabilities: Capabilities = Capabilities(
        canary="stream of /generate_stream with token ids",
        progress="batch_inference_count with each prefill and decode step; other counters move at a request's end",
        load="batch_current_size and queue_size on /metrics",
        abort="by closing the connection",
        end_of_stream="generated_text and details.finish_reason in the last event; there is no [DONE]",
    )

    def generate(self, shape: str, ask: Ask) -> Call:  # noqa: ARG002
        """Greedy. Its prefix cache can be bypassed without streaming only, and it does not tell of hits."""
        parameters = {"max_new_tokens": ask.max_tokens, "do_sample": False, "details": True}
        body: dict[str, Any] = {"inputs": ask.prompt, "parameters": parameters}
        return Call(method="POST", path="/generate_stream", body=body, headers={"X-Request-Id": ask.request_id})

    def read_event(self, data: str) -> StreamEvent | None:
        """One token; the last one brings the end."""
        event = json_object(data)
        if event.get("error"):
            return error_event(event["error"])
        token = event.get("token")
        if not isinstance(token, dict):
            return None
        identity, text = token.get("id"), token.get("text")
        is_special, is_last = token.get("special") is True, isinstance(event.get("generated_text"), str)
        details = as_object(event.get("details"))
        reason = details.get("finish_reason")
        return StreamEvent(
            tokens=1,
            finish=_FINISH.get(reason, reason) if isinstance(reason, str) else None,
            content=Content(
                text=text if isinstance(text, str) and not is_special else "",
                token_ids=(identity,) if isinstance(identity, int) and not isinstance(identity, bool) else (),
                logprobs=(as_number(token["logprob"]),) if "logprob" in token else (),
                completion_tokens=as_count(details.get("generated_tokens")),
            ),
            end=is_last,
        )

    def read_metrics(self, page: str) -> MetricsReading | None:
        """Without token counters: it has none but a histogram of finished requests."""
        sums = read_sums(page, WANTED)
        if sums is None or WAITING not in sums:
            return None
        ended = [count for count in (sums.get(SUCCEEDED), sums.get(FAILED)) if count is not None]
        return MetricsReading(
            running=sums.get(RUNNING),
            waiting=sums.get(WAITING),
            progress=sums.get(BATCHES),
            finished=sum(ended) if ended else None,
        )
