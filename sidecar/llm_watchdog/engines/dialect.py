"""What the project must know about a kind of engine to look at it: paths, canaries, and how to read the answers.

A dialect does no I/O and has no state. What it returns is data: calls for the probes to make, and readers for bodies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from llm_watchdog.core.canaries import NO_CONTENT, Content, Flaw
from llm_watchdog.engines.json_bodies import json_object

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.core.observations import MetricsReading, StatusReading
    from llm_watchdog.engines.forbidden import Forbidden
    from llm_watchdog.engines.power import PowerWays


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


OK: Final = 200

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
    limit_taken: bool = True
    """A request can limit the tokens; where it cannot, an answer is as long as the model likes."""


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
    flaw: Flaw | None = None
    """A more precise word for `error`: memory ran out, upstream failed, broken numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePath:
    """A state endpoint, and how it tells."""

    path: str
    tells_sleep: bool
    """Otherwise it tells a pause."""
    field: str = ""
    """The boolean that it answers with."""
    refusal: int | None = None
    """Without a field: the status that means yes, where 200 means no."""
    confirmed_by: str = ""
    """Such a refusal has other causes too: it counts only while the engine answers a GET of this path."""

    def read(self, status: int | None, body: bytes) -> bool | None:
        """True, False, or None where it does not tell."""
        if self.refusal is not None:
            return {OK: False, self.refusal: True}.get(status or 0)
        value = json_object(body).get(self.field) if status == OK else None
        return value if isinstance(value, bool) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCall:
    """A status endpoint of a dialect's own."""

    name: str
    call: Call
    older: tuple[Call, ...] = ()
    """Its names in older versions, asked where the engine does not offer `call`."""
    seconds: float
    """Time-out."""
    takes_slot: bool = False
    """It waits for a free slot, as a generation would: `SILENT` means that none came free."""
    wakes: bool = False
    """It wakes an engine that has unloaded itself for idleness, and is left out then."""
    guards: bool = False
    """It tells whether a canary may be sent: asked before each canary, and after one that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """How a prefix cache is emptied. Engines do it only while nothing runs."""

    call: Call
    needs: str
    """What the engine must have been started with; told where it does not offer the call."""


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
    models_method: str = "GET"
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
    flush: Flush | None = None
    power: PowerWays | None = None
    abort_needs: str = ""
    """What the engine must have been started with to abort requests by their ids; empty: it has no call for it."""
    forbidden: tuple[Forbidden, ...] = ()
    """What is never sent to it; the client refuses."""
    pair_is_safe: bool
    """A cross-talk check cannot rob users' streams."""
    templated: frozenset[str] = frozenset({"chat"})
    """Shapes in which the server wraps the prompt into a chat template, which may contain today's date."""
    version_path: str | None = None
    """Output is compared within one version only."""
    version_field: str = "version"
    """Of the JSON object that it answers with."""

    @classmethod
    def of(cls, target: EngineTarget) -> Self:  # noqa: ARG003
        """For the engine of that worker; most dialects need to know nothing of it."""
        return cls()

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

    def abort(self, ids: Iterable[str]) -> tuple[Call, ...]:  # noqa: ARG002
        """The calls that abort these own requests and no other; none for no whole own id."""
        return ()

    def read_abort(self, body: bytes) -> str:  # noqa: ARG002
        """Why an abort that was answered with 200 did nothing; empty: it does not say so."""
        return ""

    def read_flush(self, body: bytes) -> str:  # noqa: ARG002
        """Why a flush that was answered with 200 did nothing; empty: it does not say so."""
        return ""

    def read_status(self, name: str, body: bytes) -> StatusReading | None:
        """What the status call of that name says; None if it says nothing. Raises nothing."""


def read_models(body: bytes) -> tuple[str, ...]:
    """The ids in an OpenAI model list."""
    return tuple(entry["id"] for entry in _listed(body))


def base_models(body: bytes) -> tuple[str, ...]:
    """The same without what is served beside a base model: its adapters, which name a `parent`, and second names."""
    names: dict[str, str] = {}
    for entry in _listed(body):
        if not entry.get("parent"):
            names.setdefault(str(entry.get("root") or entry["id"]), entry["id"])
    return tuple(names.values())


def _listed(body: bytes) -> list[dict[str, Any]]:
    listed = json_object(body).get("data")
    entries = listed if isinstance(listed, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
