"""When to look again. Cheap looks are frequent; a canary costs tokens: rare while users' streams prove life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import EngineTask
from llm_watchdog.core import metering
from llm_watchdog.core.canaries import NO_EVIDENCE_OUTCOMES, SILENT_OUTCOMES, CanaryOutcome
from llm_watchdog.core.observations import AnswerKind
from llm_watchdog.core.progress import generation_rate
from llm_watchdog.core.residence import is_leaving, is_left_alone, may_not_be_asked

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget, WatchdogPolicy
    from llm_watchdog.core.canaries import CanaryObservation
    from llm_watchdog.core.window import Window

SOCKETS_SECONDS: Final = 1.0
STATE_SECONDS: Final = 2.0
ATTENTIVE_SECONDS: Final = 2.0
"""Between metrics pages, and health checks, while somebody is served, something is suspected, or it sleeps."""
METRICS_IDLE_SECONDS: Final = 10.0
"""Of metrics pages and status endpoints."""
FRESH_SECONDS: Final = 1.0
"""What an engine said about its state this recently is believed before a canary is sent."""
BRIEF_SECONDS: Final = 0.5
"""How long a canary waits for that word: an engine that says nothing is to be asked for tokens all the more."""
HEALTH_IDLE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0
"""After a canary that failed at once."""
MOVING_SECONDS: Final = 3.0
"""Streams moved this recently: users prove that the engine generates."""
COUNTED_SECONDS: Final = 5.0
"""The same by token counters, which are read every other second while somebody is served."""
USERS_TOKENS_PER_SECOND: Final = 20.0
"""More than our canaries can cause."""
SILENT_FOR_SUSPICION_SECONDS: Final = 1.0
SILENT_AND_LOOK_ONLY: Final = 2

_FAILED_AT_ONCE: Final = frozenset(
    {CanaryOutcome.SERVER_ERROR, CanaryOutcome.ERROR_IN_STREAM, CanaryOutcome.INCOMPLETE, CanaryOutcome.NOT_SENT}
)


def canary_due_at(window: Window, target: EngineTarget, policy: WatchdogPolicy, now: float) -> float | None:
    """When the next canary may start, given that none is outstanding; None while none may."""
    if target.task is not EngineTask.GENERATE or may_not_be_asked(window) or is_left_alone(window, now):
        return None
    if no_slot_is_free(window, target, now):
        return None
    if target.metered and not metering.may_ask(window, policy, now):
        return None
    if not window.canaries:
        return now
    if users_are_moving(window, now):
        return window.canaries[-1].started_at + policy.canary.busy_interval
    due = _after(window.canaries[-1], policy, now)
    return max(due, metering.earliest(window)) if target.metered else due


def no_slot_is_free(window: Window, target: EngineTarget, now: float) -> bool:
    """A canary could but wait, and would do harm or tell nothing new.

    In a FastChat worker that has leaked its slots each request that gives up stays in the queue for ever: none at the
    limit, and where that is not known two without an answer, which is what a restart needs. In DB-GPT a call that
    needs a slot and no token says it cheaper, as long as the web server answers otherwise.
    """
    newest = window.status[-1] if window.status else None
    if newest is None:
        return False
    if newest.takes_slot and newest.kind is AnswerKind.SILENT:
        return bool(window.health) and window.health[-1].kind is AnswerKind.ANSWERED
    reading = newest.reading
    if reading is None or not reading.abandoned_stay or not reading.busy:
        return False
    if target.concurrency is not None:
        return reading.busy >= target.concurrency
    trailing = window.canaries[-SILENT_AND_LOOK_ONLY:]
    unanswered = [canary for canary in trailing if canary.outcome is CanaryOutcome.NO_FIRST_TOKEN]
    return len(unanswered) == SILENT_AND_LOOK_ONLY and not users_are_moving(window, now)


def _after(newest: CanaryObservation, policy: WatchdogPolicy, now: float) -> float:
    if newest.outcome in SILENT_OUTCOMES:
        return now
    return newest.started_at + (RETRY_SECONDS if newest.outcome in _FAILED_AT_ONCE else policy.canary.interval)


def metrics_interval(window: Window, now: float) -> float:
    """Seconds between two metrics pages."""
    attentive = window.asleep or is_suspicious(window, now) or _has_company(window)
    return ATTENTIVE_SECONDS if attentive else METRICS_IDLE_SECONDS


def status_interval(window: Window, now: float) -> float:
    """Seconds between two rounds over the status endpoints."""
    return ATTENTIVE_SECONDS if window.unloaded or is_leaving(window) else metrics_interval(window, now)


def health_interval(window: Window, now: float) -> float:
    """Seconds between two looks at the health endpoint."""
    return ATTENTIVE_SECONDS if is_suspicious(window, now) else HEALTH_IDLE_SECONDS


def is_suspicious(window: Window, now: float) -> bool:
    """The newest canary has waited for more than a moment, or failed."""
    newest = next((c for c in reversed(window.canaries) if c.outcome not in NO_EVIDENCE_OUTCOMES), None)
    if newest is None:
        return False
    if newest.outcome in SILENT_OUTCOMES:
        return newest.tokens == 0 and now - newest.started_at >= SILENT_FOR_SUSPICION_SECONDS
    return newest.outcome in _FAILED_AT_ONCE


def users_are_moving(window: Window, now: float) -> bool:
    """Users' answers moved a moment ago, by their sockets or by the engine's token counter."""
    newest = window.traffic[-1] if window.traffic else None
    if newest is not None and any(t.streaming and now - t.at <= MOVING_SECONDS for t in window.traffic[-3:]):
        return True
    if len(window.metrics) < 2:  # noqa: PLR2004
        return False
    before, after = window.metrics[-2:]
    if before.reading is None or after.reading is None or now - after.at > COUNTED_SECONDS:
        return False
    return generation_rate(before.reading, after.reading, after.at - before.at) > USERS_TOKENS_PER_SECOND


def _has_company(window: Window) -> bool:
    return any(not t.readable or t.asked or t.outstanding for t in window.traffic[-5:])
