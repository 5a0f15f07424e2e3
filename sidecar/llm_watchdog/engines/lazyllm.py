"""LazyLLM (1.4): a framework, not a server. The route and the field that takes the prompt are the user's to name.

Streams carry, in whatever wrapping the application chose, the messages of LazyLLM's token queue,
`{"tag": "text", "delta": "..."}`; these are looked for first. The blocks of a relay server are base64 of pickles: they
count as signs of life and are never loaded, as loading runs code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from llm_watchdog.core.canaries import Content, Flaw
from llm_watchdog.engines.dialect import Ask, Call, Capabilities, EndRule, Framing, StreamEvent
from llm_watchdog.engines.errors import SERVER_ERROR
from llm_watchdog.engines.forbidden import Forbidden
from llm_watchdog.engines.json_bodies import json_object, json_value
from llm_watchdog.engines.openai import DONE, OpenAI
from llm_watchdog.engines.upstream import is_relayed, relayed_or_own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_watchdog.api.policy import EngineTarget

ROUTE: Final = "route"
SPOKEN_TAGS: Final = frozenset({"text", "think"})
"""Of queue messages; the others are events and tool calls."""
TEXT_FIELDS: Final = frozenset({"delta", "text", "content", "answer", "response", "output", "reply", "data"})
"""Where an application without queue messages puts what was generated."""
WHOLE_FIELDS: Final = frozenset({"final", "result"})
"""A repetition of the whole answer at the end: it is right even when the stream before it was another's, so it proves
that something was generated and is no part of the streamed text."""


class LazyLlm(OpenAI):
    """`engine.type: lazyllm`."""

    health: Call = Call(method="GET", path="/openapi.json")
    models_path: str | None = None
    framing: Framing = Framing.RAW
    end: EndRule = EndRule(finish_required=False, limit_taken=False)
    pair_is_safe: bool = False
    forbidden: tuple[Forbidden, ...] = (Forbidden(path="/_call", why="it takes pickles, which run code on both sides"),)
    capabilities: Capabilities = Capabilities(
        canary="stream of spec.engine.path, on suspicion only unless spec.engine.probeCost is Free; not without a path",
        end_of_stream="the end of the body; a [DONE] proves nothing",
    )

    def __init__(self, path: str | None = None, text_field: str | None = None) -> None:
        self._path = path
        self._field = text_field
        self.shapes = (ROUTE,) if path and text_field else ()
        self.templated = frozenset({ROUTE})

    @classmethod
    def of(cls, target: EngineTarget) -> Self:
        """With the route that the user named."""
        return cls(target.path, target.text_field)

    def generate(self, shape: str, ask: Ask) -> Call:  # noqa: ARG002
        """The prompt alone: what else the route takes is not known. Raises ValueError without a route."""
        if self._path is None or self._field is None:
            raise ValueError("spec.engine.path and spec.engine.textField name no route")
        headers = {"X-Request-Id": ask.request_id}
        return Call(method="POST", path=self._path, body={self._field: ask.prompt}, headers=headers)

    def read_event(self, data: str) -> StreamEvent | None:
        """Whatever text can be made out; a choice or an error of OpenAI's form is read as such."""
        if data.strip() == DONE:
            return StreamEvent(end=True)
        fields = json_object(data)
        if fields.get("error"):
            return relayed_or_own(fields["error"])
        if "choices" in fields:
            return super().read_event(data)
        value = json_value(data, data)
        if value is None:
            return None
        return _spoken(value if isinstance(value, dict | list | str) else data)

    def read_rejection(self, status: int, body: bytes) -> Flaw | None:
        """A relay server puts the words of a failed client, or a traceback, into the body of a 500."""
        if status >= SERVER_ERROR and is_relayed(body.decode(errors="replace")):
            return Flaw.UPSTREAM_FAILED
        return super().read_rejection(status, body)


def _spoken(value: object) -> StreamEvent | None:
    if isinstance(value, str):
        return StreamEvent(tokens=int(bool(value.strip())), content=Content(text=value)) if value else None
    parts = list(_parts(value))
    messages = [part for _, part in parts if isinstance(part, dict) and isinstance(part.get("tag"), str)]
    said = [message.get("delta") for message in messages if message["tag"] in SPOKEN_TAGS]
    if not messages:
        said = [part for field, part in parts if field in TEXT_FIELDS]
    texts = [text for text in said if isinstance(text, str) and text]
    if texts or messages:
        return StreamEvent(tokens=len(texts), content=Content(text="".join(texts)))
    whole = any(field in WHOLE_FIELDS and part for field, part in parts)
    return StreamEvent(tokens=1) if whole else None


def _parts(value: object) -> Iterator[tuple[str, Any]]:
    """All that is in it, in order, each with the name of its field; also what a string holds as a message in JSON."""
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        field, part = stack.pop()
        yield field, part
        if isinstance(part, str) and part.startswith("{") and "tag" in (message := json_object(part)):
            part = message
            yield field, part
        if field in WHOLE_FIELDS:
            continue
        if isinstance(part, dict):
            stack.extend(reversed(part.items()))
        elif isinstance(part, list):
            stack.extend((field, entry) for entry in reversed(part))
