"""What the project must know about a kind of engine to look at it: paths, a canary, and how to read the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from llm_watchdog.engines.json_bodies import json_object

if TYPE_CHECKING:
    from llm_watchdog.core.observations import MetricsReading


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An HTTP request to the engine."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None


FINISHED: Final = frozenset({"stop", "length"})
"""Finish reasons of a whole answer; `abort`, `error` and none at all are those of a broken one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """What one event of a stream, or a whole answer, says."""

    tokens: int = 0
    """Generated tokens in it; a role, a comment or an empty delta is none."""
    finish: str | None = None
    error: str | None = None
    error_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePath:
    """A state endpoint, and the boolean field that it answers with."""

    path: str
    field: str
    tells_sleep: bool
    """Otherwise it tells a pause."""

    def read(self, body: bytes) -> bool | None:
        """True, False, or None where it does not tell."""
        value = json_object(body).get(self.field)
        return value if isinstance(value, bool) else None


class Dialect(Protocol):
    """One kind of engine."""

    health_path: str
    models_path: str
    metrics_path: str | None
    load_path: str | None
    state_paths: tuple[StatePath, ...]
    shapes: tuple[str, ...]
    """Ways to ask for a few tokens, the preferred one first."""

    def canary(self, shape: str, *, model: str | None, request_id: str, max_tokens: int) -> Call:
        """A generation request of that shape."""

    def read_event(self, data: str) -> StreamEvent | None:
        """One event of the stream; None for what carries nothing, such as `[DONE]`."""

    def read_metrics(self, page: str) -> MetricsReading | None:
        """What the metrics page says; None if it is none. Raises nothing."""

    def read_load(self, body: bytes) -> int | None:
        """The requests that the web server counts."""


def read_models(body: bytes) -> tuple[str, ...]:
    """The ids in an OpenAI model list."""
    listed = json_object(body).get("data")
    entries = listed if isinstance(listed, list) else []
    return tuple(entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str))
