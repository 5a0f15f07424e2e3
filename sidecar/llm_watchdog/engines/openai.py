"""Any OpenAI-compatible server: nothing is known of it but its two completion endpoints and its model list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.engines.dialect import Call, Dialect, StatePath, StreamEvent
from llm_watchdog.engines.json_bodies import json_object

if TYPE_CHECKING:
    from llm_watchdog.core.observations import MetricsReading

COMPLETIONS: Final = "completions"
CHAT: Final = "chat"

PROMPT: Final = "Count: one, two, three,"
"""Short, the same each time, and has an obvious continuation, so that a model does not stop before its first token."""
SEED: Final = 1

_TEXTS: Final = ("content", "reasoning", "reasoning_content")
_DETAIL_MAX: Final = 200


class OpenAI(Dialect):
    """`engine.type: openai`."""

    health_path: str = "/v1/models"
    models_path: str = "/v1/models"
    metrics_path: str | None = None
    load_path: str | None = None
    state_paths: tuple[StatePath, ...] = ()
    shapes: tuple[str, ...] = (COMPLETIONS, CHAT)

    def canary(self, shape: str, *, model: str | None, request_id: str, max_tokens: int) -> Call:
        """A stream of a few tokens at temperature 0."""
        body: dict[str, Any] = {"max_tokens": max_tokens, "temperature": 0, "seed": SEED, "stream": True}
        if model is not None:
            body["model"] = model
        if shape == CHAT:
            path, body["messages"] = "/v1/chat/completions", [{"role": "user", "content": PROMPT}]
        else:
            path, body["prompt"] = "/v1/completions", PROMPT
        return Call(method="POST", path=path, body=body, headers={"X-Request-Id": request_id})

    def read_event(self, data: str) -> StreamEvent | None:
        """Count what was generated; an `error` object may come inside a 200, and `[DONE]` proves nothing."""
        event = json_object(data)
        if event.get("error"):
            return _error(event["error"])
        choices = [choice for choice in _list(event.get("choices")) if isinstance(choice, dict)]
        if not choices:
            return None
        finish = next((c["finish_reason"] for c in choices if isinstance(c.get("finish_reason"), str)), None)
        return StreamEvent(tokens=sum(_tokens(choice) for choice in choices), finish=finish)

    def read_metrics(self, page: str) -> MetricsReading | None:  # noqa: ARG002
        """Not known."""
        return None

    def read_load(self, body: bytes) -> int | None:  # noqa: ARG002
        """Not known."""
        return None


def _tokens(choice: dict[str, Any]) -> int:
    ids = choice.get("token_ids")
    if isinstance(ids, list) and ids:
        return len(ids)
    said = [choice.get("text")]
    for part in (choice.get("delta"), choice.get("message")):
        if isinstance(part, dict):
            said += [part.get(name) for name in _TEXTS]
    return int(any(isinstance(text, str) and text for text in said))


def _error(error: object) -> StreamEvent:
    fields = error if isinstance(error, dict) else {}
    code = fields.get("code")
    message = str(fields.get("message") or error)[:_DETAIL_MAX]
    return StreamEvent(error=message, error_status=code if isinstance(code, int) else None)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
