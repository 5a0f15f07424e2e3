"""Observations: one thing seen at one time. An engine that is silent and a probe that failed are different outcomes.

All times are monotonic seconds. No record holds text of a user (invariant 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CanaryOutcome(StrEnum):
    """How far a canary came."""

    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    """Generated tokens and a finish reason."""
    NO_FIRST_TOKEN = "NoFirstToken"
    """Asked, and cancelled by its timeout without a token."""
    TOKEN_GAP = "TokenGap"
    """Began to generate, and was cancelled by its timeout."""
    REFUSED = "Refused"
    """Nobody listens on the engine's port."""
    SERVER_ERROR = "ServerError"
    """Answered with 5xx."""
    ERROR_IN_STREAM = "ErrorInStream"
    """An error object inside a 200."""
    INCOMPLETE = "Incomplete"
    """Ended without a finish reason, or the connection was cut."""
    REJECTED = "Rejected"
    """Answered with 4xx: the canary is wrong, the key is, or the engine is full (429)."""
    NOT_SENT = "NotSent"
    """Our own failure; never evidence."""
    IMPOSSIBLE = "Impossible"
    """There is nothing to ask: several models and none named."""
    WITHDRAWN = "Withdrawn"
    """Cancelled by us for a reason that lies outside the engine's speed: it sleeps, or the history was reset."""


SILENT_OUTCOMES = frozenset({CanaryOutcome.IN_PROGRESS, CanaryOutcome.NO_FIRST_TOKEN, CanaryOutcome.TOKEN_GAP})
"""The engine was asked and has not answered (yet)."""

NO_EVIDENCE_OUTCOMES = frozenset({CanaryOutcome.NOT_SENT, CanaryOutcome.IMPOSSIBLE, CanaryOutcome.WITHDRAWN})
"""Say nothing about the engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryObservation:
    """A canary. While it runs the same `id` is observed again and again."""

    id: str
    shape: str
    """What makes a request new to an engine: its endpoint and its size. A first-seen shape may compile kernels."""
    started_at: float
    outcome: CanaryOutcome = CanaryOutcome.IN_PROGRESS
    first_token_at: float | None = None
    last_token_at: float | None = None
    finished_at: float | None = None
    tokens: int = 0
    http_status: int | None = None
    detail: str = ""


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
    """The engine does not offer this endpoint (404, 403, 405)."""
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
    | SocketsObservation
    | Beat
)
