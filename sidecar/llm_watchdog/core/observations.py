"""Observations: one thing seen at one time. An engine that is silent and a probe that failed are different outcomes.

All times are monotonic seconds. No record holds text of a user (invariant 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from llm_watchdog.core.canaries import CanaryObservation
from llm_watchdog.core.check_rounds import CheckObservation


class AnswerKind(StrEnum):
    """What came of a plain GET."""

    ANSWERED = "Answered"
    SILENT = "Silent"
    """Asked, and no answer within the probe's time-out."""
    REFUSED = "Refused"
    CUT = "Cut"
    """The connection ended before the answer did."""
    UNREADABLE = "Unreadable"
    """Answered with something that is not what was asked for."""
    GATED = "Gated"
    """The engine does not offer this endpoint (404, 403, 405, 501)."""
    NOT_SENT = "NotSent"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsReading:
    """What a metrics page says. None where the engine does not tell."""

    running: float | None = None
    waiting: float | None = None
    kv_usage: float | None = None
    """0 to 1, summed over the ranks: only its changes count."""
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    process_start: float | None = None
    asleep: bool | None = None
    progress: float | None = None
    """Any other counter of the dialect that grows with each step of the engine (decode calls, realtime tokens)."""
    finished: float | None = None
    """Requests that were completed, for whatever reason."""
    cache_hits: float | None = None
    """Prompt tokens that were taken from the prefix cache."""
    corrupted: float | None = None
    """Requests whose numbers the engine itself found broken."""
    first_token_sum: float | None = None
    """Seconds, of all requests."""
    first_token_count: float | None = None
    wake_errors: float | None = None
    """Wake requests, by whomever, that the engine answered with 5xx."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsObservation:
    """One fetch of the metrics page."""

    at: float
    kind: AnswerKind
    reading: MetricsReading | None = None
    own_canaries: int = 0
    """Canaries that were in flight during the fetch, so that our own request is not taken for a user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthObservation:
    """The engine's own health endpoint. A 200 proves nothing but a web server."""

    at: float
    kind: AnswerKind
    http_status: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadObservation:
    """The engine's count of requests in its web server, ours included."""

    at: float
    kind: AnswerKind
    requests: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateObservation:
    """Is the engine asleep or paused? None: it did not say."""

    at: float
    kind: AnswerKind
    asleep: bool | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReading:
    """What an engine's own status endpoint says besides metrics, health and sleep. None where it does not tell."""

    slots: int | None = None
    """How many requests it serves at once."""
    busy: int | None = None
    """Slots in use, or the queue length where users and waiters are counted together (FastChat)."""
    waiting: int | None = None
    progress: float | None = None
    """A number that changes with each step of any busy slot."""
    unloaded: bool | None = None
    """The model is not in memory; a request would load it."""
    unloads_in: float | None = None
    """Seconds until the model is unloaded if nobody asks for it; each request begins them anew."""
    loaded: tuple[str, ...] | None = None
    """Names of the models in memory, where it tells them."""
    no_canary: str = ""
    """Why no canary may be sent to an engine that runs like this, whose sleep others may order and it does not tell;
    empty: one may."""
    abandoned_stay: bool = False
    """A request whose client gave up stays in the queue for ever where slots have leaked (FastChat)."""
    leaving: str = ""
    """A state that should pass within seconds, in the engine's words (ollama: `Stopping...`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusObservation:
    """One look at a status endpoint. `SILENT` is evidence where the call takes a slot and no token (DB-GPT)."""

    at: float
    name: str
    """Of the call, as the dialect names it."""
    kind: AnswerKind
    reading: StatusReading | None = None
    seconds: float = 0.0
    http_status: int | None = None
    takes_slot: bool = False
    """The call waits for a free slot, as a generation would."""
    own_canaries: int = 0
    """Streams of ours that were in flight during the look, those of a round of checks among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketSample:
    """One connection at the engine's end. Counters are None where only its existence can be read."""

    peer: str
    """Address, port and socket cookie: tells it from a later connection of the same port."""
    own: bool
    """The watchdog's."""
    open: bool
    """Both ends are; a client that left is waiting for nothing."""
    received: int | None = None
    acked: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketsObservation:
    """All connections of the engine's port, and who listens on it."""

    at: float
    readable: bool
    listeners: frozenset[int] = frozenset()
    """Inodes: they change when the engine's process does."""
    samples: tuple[SocketSample, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The watchdog's own loop ran. Between two beats that lie too far apart it saw nothing."""

    at: float


Observation = (
    CanaryObservation
    | MetricsObservation
    | HealthObservation
    | LoadObservation
    | StateObservation
    | StatusObservation
    | CheckObservation
    | SocketsObservation
    | Beat
)
