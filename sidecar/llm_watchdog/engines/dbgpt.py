"""DB-GPT's model worker (0.4 to 0.8), asked at the worker's own port: JSON objects that NUL bytes end, always HTTP 200.

It has no metrics and tells no queue. `model_metadata` takes the same slot as a generation and costs no token: that it
hangs while the web server answers is how a worker without a free slot is seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from llm_watchdog.core.canaries import Content
from llm_watchdog.engines.dialect import Ask, Call, Capabilities, EndRule, Framing, StatusCall, StreamEvent
from llm_watchdog.engines.forbidden import Forbidden
from llm_watchdog.engines.json_bodies import json_object, json_value
from llm_watchdog.engines.openai import OpenAI, as_list, read_usage
from llm_watchdog.engines.upstream import relayed_or_own

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget

METADATA: Final = "model_metadata"
METADATA_SECONDS: Final = 2.0
"""2 to 4 ms while a slot is free."""
WORKER: Final = "worker"
LLM: Final = "@llm"


class DbGpt(OpenAI):
    """`engine.type: dbgpt`."""

    health: Call = Call(method="GET", path="/openapi.json")
    """The cheapest 200; `/api/health` is the embedded controller's."""
    models_path: str | None = "/api/controller/models"
    """With `standalone = true` only."""
    shapes: tuple[str, ...] = (WORKER,)
    templated: frozenset[str] = frozenset({WORKER})
    framing: Framing = Framing.NUL_JSON
    cumulative: bool = True
    end: EndRule = EndRule(finish_required=False)
    """`finish_reason` is null in good streams and in those that upstream cut short."""
    forbidden: tuple[Forbidden, ...] = (
        Forbidden(
            path="/api/worker/apply", why="its restart loses the model, or keeps the very slots that it should free"
        ),
    )
    capabilities: Capabilities = Capabilities(
        canary="stream of /api/worker/generate_stream, on suspicion only unless spec.engine.probeCost is Free",
        load="whether a slot is free: latency of /api/worker/model_metadata, where spec.engine.model is set",
        abort="by closing the connection; not where the worker generates in a thread that hangs",
        end_of_stream="the end of the body; one that upstream cut without an error looks the same",
    )

    def __init__(self, model: str | None = None) -> None:
        self.status_calls = () if model is None else (_metadata_call(model),)

    @classmethod
    def of(cls, target: EngineTarget) -> Self:
        """The slot probe has to name the model."""
        return cls(target.model)

    def generate(self, shape: str, ask: Ask) -> Call:  # noqa: ARG002
        """As DB-GPT's own remote worker asks."""
        body: dict[str, Any] = {
            "prompt": "",
            "messages": [{"role": "human", "content": ask.prompt}],
            "temperature": 0,
            "max_new_tokens": ask.max_tokens,
            "echo": False,
        }
        if ask.model is not None:
            body["model"] = ask.model
        headers = {"X-Request-Id": ask.request_id}
        return Call(method="POST", path="/api/worker/generate_stream", body=body, headers=headers)

    def read_event(self, data: str) -> StreamEvent | None:
        """All text so far: under `content` since 0.7, under `text` before."""
        event = json_object(data)
        text = _text(event)
        if event.get("error_code"):
            return relayed_or_own(text or f"error_code {event['error_code']}")
        if text is None:
            return None
        prompt, completion, _ = read_usage(event.get("usage"))
        finish = event.get("finish_reason")
        return StreamEvent(
            tokens=completion or 0,
            finish=finish if isinstance(finish, str) else None,
            content=Content(text=text, prompt_tokens=prompt, completion_tokens=completion),
        )

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """Of the embedded controller's registry: `NAME@llm`, beside other kinds of workers."""
        entries = [entry for entry in as_list(json_value(body)) if isinstance(entry, dict)]
        names = (entry.get("model_name") for entry in entries)
        return tuple(name.removesuffix(LLM) for name in names if isinstance(name, str) and name.endswith(LLM))


def _metadata_call(model: str) -> StatusCall:
    call = Call(method="POST", path="/api/worker/model_metadata", body={"model": model})
    return StatusCall(name=METADATA, call=call, seconds=METADATA_SECONDS, takes_slot=True)


def _text(event: dict[str, Any]) -> str | None:
    """None where the event carries no answer. Several contents are thinking and text."""
    contents = event.get("content")
    parts = contents if isinstance(contents, list) else [contents]
    objects = [part.get("object") for part in parts if isinstance(part, dict)]
    texts = [part["data"] for part in objects if isinstance(part, dict) and isinstance(part.get("data"), str)]
    if texts:
        return "".join(texts)
    text = event.get("text")
    return text if isinstance(text, str) else None
