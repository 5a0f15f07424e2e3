"""Ollama, asked at its native `/api/generate`.

Its native stream is made of JSON lines with an end of their own (`done: true`) and an error as a line of its own, and
it takes sampling options without naming any option of the runner: one that differs from those of the loaded model
forces a reload.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.core.canaries import Content
from llm_watchdog.core.observations import StatusReading
from llm_watchdog.engines.dialect import Ask, Call, Capabilities, EndRule, Framing, StatusCall, StreamEvent
from llm_watchdog.engines.forbidden import Forbidden
from llm_watchdog.engines.json_bodies import as_number, json_object
from llm_watchdog.engines.openai import SEED, OpenAI, as_count, as_list, error_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PS: Final = "ps"
STOPPING: Final = "Stopping..."
"""What `ollama ps` shows of a model whose time is over."""
LATEST: Final = ":latest"
"""The tag that a name without one means."""


class Ollama(OpenAI):
    """`engine.type: ollama`."""

    health: Call = Call(method="GET", path="/")
    version_path: str | None = "/api/version"
    status_calls: tuple[StatusCall, ...] = (
        StatusCall(name=PS, call=Call(method="GET", path="/api/ps"), seconds=2.0, guards=True),
    )
    shapes: tuple[str, ...] = ("generate",)
    framing: Framing = Framing.NDJSON
    cumulative: bool = False
    end: EndRule = EndRule()
    """The terminator is the event that brings the finish reason."""
    forbidden: tuple[Forbidden, ...] = tuple(
        Forbidden(path=path, field="keep_alive", why="it changes for everybody when the model is unloaded")
        for path in ("/api/generate", "/api/chat")
    )
    capabilities: Capabilities = Capabilities(
        canary="stream of /api/generate while the model is loaded; none otherwise. Each one restarts the idle timer",
        load="the loaded models on /api/ps; it does not count requests",
        sleep="models are unloaded for idleness, which /api/ps shows",
        abort="by closing the connection",
        end_of_stream="a last line with done: true and done_reason stop or length",
    )

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    def generate(self, shape: str, ask: Ask) -> Call:  # noqa: ARG002
        """Raw text, no template. Without `keep_alive`, which would change the model's stay for everybody."""
        body: dict[str, Any] = {
            "prompt": ask.prompt,
            "raw": True,
            "stream": True,
            "options": {"temperature": 0, "seed": SEED, "num_predict": ask.max_tokens},
        }
        if ask.model is not None:
            body["model"] = ask.model
        if ask.logprobs:
            body["logprobs"] = True
        return Call(method="POST", path="/api/generate", body=body, headers={"X-Request-Id": ask.request_id})

    def read_event(self, data: str) -> StreamEvent | None:
        """One line.

        `eval_count` is not taken for the usage: older runners look at the limit one token late.
        """
        event = json_object(data)
        if event.get("error"):
            return error_event(event["error"])
        if not isinstance(event.get("done"), bool):
            return None
        said = [text for text in (event.get("response"), event.get("thinking")) if isinstance(text, str)]
        reason = event.get("done_reason")
        return StreamEvent(
            tokens=int(any(said)),
            finish=reason if event["done"] and isinstance(reason, str) else None,
            content=Content(
                text="".join(said),
                logprobs=tuple(
                    as_number(entry.get("logprob"))
                    for entry in as_list(event.get("logprobs"))
                    if isinstance(entry, dict)
                ),
                prompt_tokens=as_count(event.get("prompt_eval_count")),
            ),
            end=event["done"],
        )

    def read_status(self, name: str, body: bytes) -> StatusReading | None:
        """Which models are in memory, and whether one of them should be gone."""
        models = json_object(body).get("models") if name == PS else None
        if not isinstance(models, list):
            return None
        loaded = [model for model in models if isinstance(model, dict)]
        left = [seconds for model in loaded if (seconds := self._left(model)) is not None]
        # A request that outlasts `keep_alive` looks the same: only with nobody served is it a model that stays.
        is_over = any(seconds < 0 for seconds in left)
        return StatusReading(
            loaded=_names(loaded), leaving=STOPPING if is_over else "", unloads_in=min(left, default=None)
        )

    def _left(self, model: Mapping[str, Any]) -> float | None:
        """Seconds that it stays. Year 1 is Go's zero: not set yet, as the model is being loaded."""
        try:
            expires_at = datetime.fromisoformat(str(model.get("expires_at")))
        except ValueError:
            return None
        known = expires_at.tzinfo is not None and expires_at.year > 1
        return (expires_at - self._now()).total_seconds() if known else None


def _names(loaded: list[dict[str, Any]]) -> tuple[str, ...]:
    """Each name as it stands there, and without the tag that need not be named."""
    told = [model.get(field) for model in loaded for field in ("name", "model")]
    names = [name for name in told if isinstance(name, str)]
    return tuple(dict.fromkeys([*names, *(name.removesuffix(LATEST) for name in names)]))
