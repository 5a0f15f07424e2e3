"""How an observation changes the window. Whatever comes in, the window stays within its bounds, and nothing raises."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import singledispatch
from typing import TYPE_CHECKING, Final, TypeVar

from llm_watchdog.core.baseline import learn
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.check_rounds import CheckObservation
from llm_watchdog.core.complaints import judged
from llm_watchdog.core.connections import fold
from llm_watchdog.core.observations import (
    AnswerKind,
    Beat,
    HealthObservation,
    LoadObservation,
    MetricsObservation,
    Observation,
    SocketsObservation,
    StateObservation,
    StatusObservation,
)
from llm_watchdog.core.progress import has_progressed
from llm_watchdog.core.window import BEAT_GAP_SECONDS, Span, Window

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

CANARIES_MAX: Final = 256
TRAFFIC_MAX: Final = 900
"""At one per second: longer than the slowest restart deadline that makes sense."""
OTHERS_MAX: Final = 64
CHECKS_MAX: Final = 32
SHAPES_MAX: Final = 8
PROCESS_START_TOLERANCE_SECONDS: Final = 1.0


def observe(window: Window, observation: Observation) -> Window:
    """The window with one more observation; one with an impossible time is dropped."""
    if not all(math.isfinite(moment) for moment in _moments(observation)):
        return window
    return _add(observation, window)


def observe_all(window: Window, observations: Iterable[Observation]) -> Window:
    """The window with several more."""
    for observation in observations:
        window = observe(window, observation)
    return window


@singledispatch
def _add(_observation: object, window: Window) -> Window:
    return window


@_add.register
def _(canary: CanaryObservation, window: Window) -> Window:
    if canary.outcome is CanaryOutcome.REFUSED:
        window = _refused(window, canary.finished_at or canary.started_at)
    others = tuple(known for known in window.canaries if known.id != canary.id)
    window = replace(window, canaries=(*others, canary)[-CANARIES_MAX:])
    if canary.tokens <= 0 or canary.last_token_at is None:
        return window
    if not window.answered:
        window = replace(window, answered=True, answered_at=canary.last_token_at)
    window = replace(window.alive(canary.last_token_at), asleep_by_state=False, asleep_by_metrics=False)
    return _passed(window, canary) if canary.outcome is CanaryOutcome.SUCCEEDED else window


def _passed(window: Window, canary: CanaryObservation) -> Window:
    shapes = window.warm_shapes if len(window.warm_shapes) >= SHAPES_MAX else window.warm_shapes | {canary.shape}
    before = window.last_passed_at
    at = canary.started_at if before is None else max(before, canary.started_at)
    return replace(window, warm_shapes=shapes, last_passed_at=at)


@_add.register
def _(page: MetricsObservation, window: Window) -> Window:
    if page.kind is AnswerKind.REFUSED:
        window = _refused(window, page.at)
    before = next((known for known in reversed(window.metrics) if known.reading is not None), None)
    if before is not None and before.reading is not None and page.reading is not None:
        if _is_new_process(before.reading.process_start, page.reading.process_start):
            window = window.restarted("the engine's process start time changed")
        elif has_progressed(before.reading, page.reading):
            window = window.alive(before.at)
    window = replace(window, metrics=_append(window.metrics, page, OTHERS_MAX))
    if page.reading is None or page.reading.asleep is None:
        return window
    return window.with_sleep(by_state=window.asleep_by_state, by_metrics=page.reading.asleep)


@_add.register
def _(health: HealthObservation, window: Window) -> Window:
    if health.kind is AnswerKind.REFUSED:
        window = _refused(window, health.at)
    return replace(window, health=_append(window.health, health, OTHERS_MAX))


@_add.register
def _(load: LoadObservation, window: Window) -> Window:
    return replace(window, loads=_append(window.loads, load, OTHERS_MAX))


@_add.register
def _(state: StateObservation, window: Window) -> Window:
    window = replace(window, states=_append(window.states, state, OTHERS_MAX))
    if state.asleep is None and state.paused is None:
        return window
    # An engine that says that it is awake knows it better than its metrics page of some seconds ago.
    by_metrics = window.asleep_by_metrics and state.asleep is None
    return window.with_sleep(by_state=bool(state.asleep or state.paused), by_metrics=by_metrics)


@_add.register
def _(status: StatusObservation, window: Window) -> Window:
    if status.kind is AnswerKind.REFUSED:
        window = _refused(window, status.at)
    return replace(window, status=_append(window.status, status, OTHERS_MAX))


@_add.register
def _(check: CheckObservation, window: Window) -> Window:
    # Of rounds that were disturbed only the newest counts, for when to try again.
    kept = tuple(past for past in window.checks if past.kind is not check.kind or not past.disturbed)
    checks = _append(kept, check, CHECKS_MAX)
    baseline = learn(window.baseline, checks)
    return replace(window, checks=checks, baseline=baseline, judged=judged(checks, baseline))


@_add.register
def _(seen: SocketsObservation, window: Window) -> Window:
    if seen.readable and seen.listeners:
        if window.listeners and not window.listeners & seen.listeners:
            window = window.restarted("another process listens on the engine's port")
        window = replace(window, listeners=seen.listeners)
    ledger, traffic = fold(window.ledger, seen)
    window = replace(window, ledger=ledger, traffic=_append(window.traffic, traffic, TRAFFIC_MAX))
    return window.alive(traffic.since) if traffic.streaming else window


@_add.register
def _(beat: Beat, window: Window) -> Window:
    before = window.beat_at
    window = replace(window, beat_at=beat.at)
    if before is None or beat.at - before <= BEAT_GAP_SECONDS:
        return window
    return replace(window, blind=_append(window.blind, Span(before, beat.at), OTHERS_MAX))


def _refused(window: Window, at: float) -> Window:
    """Nobody listens: whatever comes next is another process."""
    known = window.answered or bool(window.canaries)
    window = window.restarted("nobody listened on the engine's port") if known else window
    return replace(window, refused_at=at)


def _append(history: tuple[T, ...], item: T, limit: int) -> tuple[T, ...]:
    return (*history[-limit + 1 :], item)


def _is_new_process(before: float | None, after: float | None) -> bool:
    return before is not None and after is not None and abs(after - before) > PROCESS_START_TOLERANCE_SECONDS


def _moments(observation: Observation) -> tuple[float, ...]:
    if not isinstance(observation, CanaryObservation):
        return (observation.at,)
    moments = (observation.started_at, observation.first_token_at, observation.last_token_at, observation.finished_at)
    return tuple(moment for moment in moments if moment is not None)
