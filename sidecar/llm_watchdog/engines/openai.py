"""Any OpenAI-compatible server: nothing is known of it but its two completion endpoints and its model list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.core.canaries import Content, Flaw
from llm_watchdog.engines.dialect import (
    Ask,
    Call,
    Capabilities,
    Dialect,
    EndRule,
    Framing,
    StatePath,
    StatusCall,
    StreamEvent,
    read_models,
)
from llm_watchdog.engines.errors import read_flaw
from llm_watchdog.engines.json_bodies import as_number, json_object

if TYPE_CHECKING:
    from llm_watchdog.core.observations import MetricsReading, StatusReading

COMPLETIONS: Final = "completions"
CHAT: Final = "chat"
DONE: Final = "[DONE]"
SEED: Final = 1

_TEXTS: Final = ("content", "reasoning", "reasoning_content")
_DETAIL_MAX: Final = 200


class OpenAI(Dialect):
    """`engine.type: openai`."""

    health: Call = Call(method="GET", path="/v1/models")
    models_path: str | None = "/v1/models"
    metrics_path: str | None = None
    load_path: str | None = None
    state_paths: tuple[StatePath, ...] = ()
    status_calls: tuple[StatusCall, ...] = ()
    shapes: tuple[str, ...] = (COMPLETIONS, CHAT)
    framing: Framing = Framing.SSE
    cumulative: bool = False
    end: EndRule = EndRule()
    pair_is_safe: bool = True
    capabilities: Capabilities = Capabilities(
        canary="stream of /v1/completions, else /v1/chat/completions",
        cache_bypass="a unique prefix, for questions with a known answer only",
        end_of_stream="finish_reason stop or length; [DONE] proves nothing and may be missing",
    )

    def generate(self, shape: str, ask: Ask) -> Call:
        """At temperature 0."""
        body: dict[str, Any] = {"max_tokens": ask.max_tokens, "temperature": 0, "seed": SEED, "stream": True}
        if ask.model is not None:
            body["model"] = ask.model
        if shape == CHAT:
            path, body["messages"] = "/v1/chat/completions", [{"role": "user", "content": ask.prompt}]
        else:
            path, body["prompt"] = "/v1/completions", ask.prompt
        if ask.logprobs:
            body |= {"logprobs": True, "top_logprobs": 1} if shape == CHAT else {"logprobs": 1}
        return Call(method="POST", path=path, body=body, headers={"X-Request-Id": ask.request_id})

    def read_event(self, data: str) -> StreamEvent | None:
        """Count what was generated; an `error` object may come inside a 200, and `[DONE]` proves nothing.

        The API servers of FastChat and DB-GPT put `error_code` and `text` there instead.
        """
        if data.strip() == DONE:
            return StreamEvent(end=True)
        event = json_object(data)
        error = event.get("error") or (event.get("error_code") and event.get("text"))
        if error:
            return error_event(error)
        choices = [choice for choice in as_list(event.get("choices")) if isinstance(choice, dict)]
        content = _content(event, choices)
        if not choices:
            return None if content.completion_tokens is None else StreamEvent(content=content)
        finish = next((c["finish_reason"] for c in choices if isinstance(c.get("finish_reason"), str)), None)
        return StreamEvent(tokens=sum(_tokens(choice) for choice in choices), finish=finish, content=content)

    def read_rejection(self, status: int, body: bytes) -> Flaw | None:
        """By the words of the error."""
        return read_flaw(status, body)

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """The ids of the list."""
        return read_models(body)

    def read_metrics(self, page: str) -> MetricsReading | None:  # noqa: ARG002
        """Not known."""
        return None

    def read_load(self, body: bytes) -> int | None:  # noqa: ARG002
        """Not known."""
        return None

    def read_status(self, name: str, body: bytes) -> StatusReading | None:  # noqa: ARG002
        """Not known."""
        return None


def error_event(error: object) -> StreamEvent:
    """An error object of whatever form inside a stream."""
    fields = error if isinstance(error, dict) else {}
    code = fields.get("code")
    message = str(fields.get("message") or error)[:_DETAIL_MAX]
    status = code if isinstance(code, int) else None
    flaw = read_flaw(status or 500, message.encode(errors="replace"))
    return StreamEvent(error=message, error_status=status, flaw=flaw)


def as_list(value: object) -> list[Any]:
    """Itself, or an empty one."""
    return value if isinstance(value, list) else []


def as_count(value: object) -> int | None:
    """A number of tokens, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def read_usage(usage: object) -> tuple[int | None, int | None, int | None]:
    """Prompt, completion and cached tokens of a `usage` object."""
    fields = usage if isinstance(usage, dict) else {}
    details = fields.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return as_count(fields.get("prompt_tokens")), as_count(fields.get("completion_tokens")), as_count(cached)


def _content(event: dict[str, Any], choices: list[dict[str, Any]]) -> Content:
    prompt, completion, cached = read_usage(event.get("usage"))
    return Content(
        text="".join(text for choice in choices for text in _said(choice)),
        token_ids=tuple(i for c in choices for i in as_list(c.get("token_ids")) if isinstance(i, int)),
        logprobs=tuple(value for choice in choices for value in _logprobs(choice)),
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
    )


def _said(choice: dict[str, Any]) -> list[str]:
    said = [choice.get("text")]
    for part in (choice.get("delta"), choice.get("message")):
        if isinstance(part, dict):
            said += [part.get(name) for name in _TEXTS]
    return [text for text in said if isinstance(text, str)]


def _logprobs(choice: dict[str, Any]) -> list[float | None]:
    """Of completions a list of numbers, of chats a list of objects; null stands for a number that JSON cannot hold."""
    found = choice.get("logprobs")
    if not isinstance(found, dict):
        return []
    chat = [entry.get("logprob") for entry in as_list(found.get("content")) if isinstance(entry, dict)]
    values = as_list(found.get("token_logprobs")) or chat
    return [as_number(value) for value in values]


def _tokens(choice: dict[str, Any]) -> int:
    ids = choice.get("token_ids")
    if isinstance(ids, list) and ids:
        return len(ids)
    return int(any(_said(choice)))
