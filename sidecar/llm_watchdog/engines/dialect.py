"""What the project must know about a kind of engine to look at it: paths, canaries, and how to read the answers.

A dialect does no I/O and has no state. What it returns is data: calls for the probes to make, and readers for bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from llm_watchdog.core.canaries import NO_CONTENT, Content, Flaw
from llm_watchdog.engines.json_bodies import json_object

if TYPE_CHECKING:
    from llm_watchdog.core.observations import MetricsReading, StatusReading


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An HTTP request to the engine."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a canary asks for, before a dialect puts it into its own words."""

    prompt: str
    request_id: str
    """Unique; sent with the request where the engine takes one, so that exactly this request can be aborted."""
    max_tokens: int
    model: str | None = None
    logprobs: bool = False
    cold: str = ""
    """Not empty: bypass the prefix cache, with this fresh salt where the engine wants one."""
    free_stop: bool = False
    """The model may stop by itself (a fingerprint, a stop check); a plain canary is to generate all its tokens."""


FINISHED: Final = frozenset({"stop", "length"})
"""Finish reasons of a whole answer; `abort`, `error` and none at all are those of a broken one."""


class Framing(StrEnum):
    """How a stream is cut into events."""

    SSE = "Sse"
    NDJSON = "NdJson"
    NUL_JSON = "NulJson"
    """JSON objects, each followed by a NUL byte (FastChat, DB-GPT)."""
    RAW = "Raw"
    """Blocks of bytes without a readable structure (LazyLLM's pickles, which are never loaded)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRule:
    """What a whole stream looks like at its end. The framing's own end (last chunk, closed body) is always required."""

    finish_reasons: frozenset[str] = FINISHED
    """Those of a whole answer."""
    finish_required: bool = True
    terminator_required: bool = False
    """`[DONE]`, `done: true`, or what the dialect's `read_event` marks as `end`: its absence is a flaw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """What one event of a stream, or a whole answer, says."""

    tokens: int = 0
    """Generated tokens in it; a role, a comment or an empty delta is none."""
    finish: str | None = None
    error: str | None = None
    error_status: int | None = None
    content: Content = NO_CONTENT
    """Of this event alone, or of everything so far where the dialect is `cumulative`."""
    end: bool = False
    """The terminator."""
    empty: bool = False
    """A data event that should carry a choice and has none (and is no usage event)."""
    flaw: Flaw | None = None
    """A more precise word for `error`: memory ran out, upstream failed, broken numbers."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCall:
    """A status endpoint of a dialect's own."""

    name: str
    call: Call
    seconds: float
    """Time-out."""
    takes_slot: bool = False
    """It waits for a free slot, as a generation would: `SILENT` means that none came free."""
    wakes: bool = False
    """It wakes an engine that has unloaded itself for idleness, and is left out then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What can be seen and done, in words for people. An empty string: it cannot. Shown by `llm-watchdog engines`."""

    canary: str = ""
    progress: str = ""
    """Which counters move, and when."""
    load: str = ""
    flush: str = ""
    sleep: str = ""
    abort: str = ""
    cache_bypass: str = ""
    end_of_stream: str = ""


class Dialect(Protocol):
    """One kind of engine."""

    health: Call
    models_path: str | None
    metrics_path: str | None
    load_path: str | None
    state_paths: tuple[StatePath, ...]
    status_calls: tuple[StatusCall, ...]
    shapes: tuple[str, ...]
    """Ways to ask for a few tokens, the preferred one first."""
    framing: Framing
    cumulative: bool
    """Each event holds everything that was generated so far."""
    end: EndRule
    capabilities: Capabilities
    pair_is_safe: bool
    """A cross-talk check cannot rob users' streams."""
    templated: frozenset[str] = frozenset({"chat"})
    """Shapes in which the server wraps the prompt into a chat template, which may contain today's date."""
    version_path: str | None = None
    """Answers `{"version": ...}`: output is compared within one version only."""

    def generate(self, shape: str, ask: Ask) -> Call:
        """A streamed generation request of that shape, greedy."""

    def read_event(self, data: str) -> StreamEvent | None:
        """One event of the stream; None for what carries nothing, such as a comment or a ping."""

    def read_rejection(self, status: int, body: bytes) -> Flaw | None:
        """What a 4xx or 5xx means beyond its number: memory ran out, NaN in the numbers, a failed upstream."""

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """The models that it serves."""

    def read_metrics(self, page: str) -> MetricsReading | None:
        """What the metrics page says; None if it is none. Raises nothing."""

    def read_load(self, body: bytes) -> int | None:
        """The requests that the web server counts."""

    def read_status(self, name: str, body: bytes) -> StatusReading | None:
        """What the status call of that name says; None if it says nothing. Raises nothing."""


def read_models(body: bytes) -> tuple[str, ...]:
    """The ids in an OpenAI model list."""
    listed = json_object(body).get("data")
    entries = listed if isinstance(listed, list) else []
    return tuple(entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str))
