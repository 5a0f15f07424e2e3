"""Canaries as they are observed: how far each came, and what it was answered.

All times are monotonic seconds. The text is the watchdog's own conversation, never a user's (invariant 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from llm_watchdog.api.reasons import FindingReason


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


class Flaw(StrEnum):
    """What is wrong with a stream that did come; the names are those of the findings."""

    NO_FINISH_REASON = FindingReason.NO_FINISH_REASON.value
    NO_TERMINATOR = FindingReason.NO_TERMINATOR.value
    BODY_CUT = FindingReason.BODY_CUT.value
    EMPTY_ANSWER = FindingReason.EMPTY_ANSWER.value
    ERROR_IN_STREAM = FindingReason.ERROR_IN_STREAM.value
    USAGE_MISMATCH = FindingReason.USAGE_MISMATCH.value
    BEYOND_LIMIT = FindingReason.BEYOND_LIMIT.value
    BROKEN_NUMBERS = FindingReason.BROKEN_NUMBERS.value
    OUT_OF_MEMORY = FindingReason.OUT_OF_MEMORY.value
    UPSTREAM_FAILED = FindingReason.UPSTREAM_FAILED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a canary was answered, as far as the engine tells. The watchdog's own text, never a user's."""

    text: str = ""
    token_ids: tuple[int, ...] = ()
    """Empty where the engine does not tell them."""
    logprobs: tuple[float | None, ...] = ()
    """Of the chosen tokens; None where the engine sent null, which is what a NaN becomes. Empty: not asked or told."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """As the usage states it."""
    cached_tokens: int | None = None
    """Prompt tokens that came from the prefix cache; None where it does not tell."""


NO_CONTENT = Content()


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
    finish: str | None = None
    """The finish reason, as the engine says it."""
    max_tokens: int = 0
    """What was asked for."""
    flaw: Flaw | None = None
    content: Content = NO_CONTENT
    """Complete once the canary has ended; the observations before may hold less."""
