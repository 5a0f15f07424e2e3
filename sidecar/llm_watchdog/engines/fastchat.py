"""FastChat's `model_worker` (0.2.36), asked at the worker's own port: JSON objects that NUL bytes end, always HTTP 200.

A generator that raises anything but a few known errors loses its slot for good (FastChat#3389), and then a request that
gives up stays in the queue for ever. So there is no canary while the queue stands at the limit, which only
`spec.engine.concurrency` tells, and a canary always names its prompt and, where several are served, its model: a body
without them is such an error.
"""

from __future__ import annotations

from typing import Any, Final

from llm_watchdog.core.canaries import Content, Flaw
from llm_watchdog.core.observations import StatusReading
from llm_watchdog.engines.dialect import Ask, Call, Capabilities, EndRule, Framing, StatusCall, StreamEvent
from llm_watchdog.engines.json_bodies import json_object
from llm_watchdog.engines.openai import OpenAI, as_count, as_list, error_event, read_usage

STATUS: Final = "worker_get_status"
WORKER: Final = "worker"
OUT_OF_MEMORY: Final = 50002
"""`ErrorCode.CUDA_OUT_OF_MEMORY`."""

_STATUS_CALL: Final = Call(method="POST", path="/worker_get_status", body={})


class FastChat(OpenAI):
    """`engine.type: fastchat`."""

    health: Call = _STATUS_CALL
    models_path: str | None = "/worker_get_status"
    models_method: str = "POST"
    status_calls: tuple[StatusCall, ...] = (StatusCall(name=STATUS, call=_STATUS_CALL, seconds=5.0),)
    """A slow `/worker_get_embeddings` blocks the worker's event loop: give the status time."""
    shapes: tuple[str, ...] = (WORKER,)
    framing: Framing = Framing.NUL_JSON
    cumulative: bool = True
    end: EndRule = EndRule()
    capabilities: Capabilities = Capabilities(
        canary="stream of /worker_generate_stream; none while the queue stands at spec.engine.concurrency",
        load="queue_length of /worker_get_status: slots in use and waiters, in one number",
        abort="by closing the connection; not while the generating thread hangs",
        end_of_stream="finish_reason stop or length in the last object, then the end of the body; no terminator",
    )

    def generate(self, shape: str, ask: Ask) -> Call:  # noqa: ARG002
        """Greedy. `vllm_worker` repeats the prompt unless told not to."""
        body: dict[str, Any] = {
            "prompt": ask.prompt,
            "temperature": 0,
            "max_new_tokens": ask.max_tokens,
            "echo": False,
        }
        if ask.model is not None:
            body["model"] = ask.model
        headers = {"X-Request-Id": ask.request_id}
        return Call(method="POST", path="/worker_generate_stream", body=body, headers=headers)

    def read_event(self, data: str) -> StreamEvent | None:
        """All text so far; the usage lags behind it until the last object."""
        event = json_object(data)
        text, code = event.get("text"), event.get("error_code")
        if code:
            return _error(str(text), code)
        if not isinstance(text, str):
            return None
        prompt, completion, _ = read_usage(event.get("usage"))
        finish = event.get("finish_reason")
        return StreamEvent(
            tokens=max(completion or 0, int(bool(text))) if completion is not None else 0,
            finish=finish if isinstance(finish, str) else None,
            content=Content(text=text, prompt_tokens=prompt, completion_tokens=completion),
        )

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """The names in the worker's status."""
        return tuple(name for name in as_list(json_object(body).get("model_names")) if isinstance(name, str))

    def read_status(self, name: str, body: bytes) -> StatusReading | None:
        """The queue length: limit minus free slots plus waiters, whoever they wait for."""
        queued = as_count(json_object(body).get("queue_length")) if name == STATUS else None
        return None if queued is None else StatusReading(busy=queued, abandoned_stay=True)


def _error(text: str, code: object) -> StreamEvent:
    event = error_event(text)
    flaw = Flaw.OUT_OF_MEMORY if code == OUT_OF_MEMORY else event.flaw
    return StreamEvent(error=f"error_code {code}: {event.error}", flaw=flaw)
