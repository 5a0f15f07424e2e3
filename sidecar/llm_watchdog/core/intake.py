"""How an observation changes the window. Whatever comes in, the window stays within its bounds, and nothing raises."""

from __future__ import annotations

import math
from functools import singledispatch
from typing import TYPE_CHECKING, Final, TypeVar

from llm_watchdog.core.baseline import learn
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.check_rounds import CheckObservation
from llm_watchdog.core.complaints import judged
from llm_watchdog.core.connections import fold
from llm_watchdog.core.deadlines import measured
from llm_watchdog.core.held import hold_after
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
from llm_watchdog.core.pace import paced
from llm_watchdog.core.progress import foreign_progress, has_progressed
from llm_watchdog.core.records import changed
from llm_watchdog.core.spells import after_page, after_traffic
from llm_watchdog.core.window import BEAT_GAP_SECONDS, Span, Window

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

CANARIES_MAX: Final = 256
TRAFFIC_MAX: Final = 900
"""At one per second: longer than the slowest restart deadline that makes sense."""
STATUS_MAX: Final = 400
"""Two calls every two seconds: a leak beside users' requests is told by looks of 100 s and more."""
OTHERS_MAX: Final = 64
CHECKS_MAX: Final = 32
SHAPES_MAX: Final = 8
PROCESS_START_TOLERANCE_SECONDS: Final = 1.0
UNAVAILABLE: Final = 503
STILL_SECONDS: Final = 5.0
"""Life shows within this on the pages and sockets of a busy engine that turns canaries away."""


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
    elif _is_unavailable(window, canary):
        window = window.restarted("completions and the health endpoint answer 503: it loads, pauses or drains")
    window = changed(window, canaries=(*_without(window.canaries, canary.id), canary)[-CANARIES_MAX:])
    if canary.tokens <= 0 or canary.last_token_at is None:
        return window
    if not window.answered:
        window = changed(window, answered_at=canary.last_token_at)
    window = _awake(window.alive(canary.last_token_at))
    return _passed(window, canary) if canary.outcome is CanaryOutcome.SUCCEEDED else window


def _without(canaries: tuple[CanaryObservation, ...], observed: str) -> tuple[CanaryObservation, ...]:
    """All others. Of an id there is one at most, and the one that is observed again is mostly the newest."""
    if canaries and canaries[-1].id == observed:
        return canaries[:-1]
    return tuple(known for known in canaries if known.id != observed)


def _awake(window: Window) -> Window:
    """It generates, whatever else it says."""
    return changed(
        window,
        answered=True,
        asleep_by_state=False,
        asleep_by_metrics=False,
        asleep_since=None,
        woke_at=None,
        wake_failed_at=None,
        unloaded=False,
    )


def _passed(window: Window, canary: CanaryObservation) -> Window:
    shapes = window.warm_shapes if len(window.warm_shapes) >= SHAPES_MAX else window.warm_shapes | {canary.shape}
    before = window.last_passed_at
    at = canary.started_at if before is None else max(before, canary.started_at)
    return changed(
        window,
        warm_shapes=shapes,
        last_passed_at=at,
        lengths=measured(window.lengths, canary),
        paces=paced(window.paces, canary),
    )


def _is_unavailable(window: Window, canary: CanaryObservation) -> bool:
    """Somebody else loads, pauses or drains it: 503 for canaries and for health checks, and no life beside them."""
    before = window.canaries[-1] if window.canaries else None
    health = window.health[-1] if window.health else None
    if not window.answered or before is None or health is None or canary.outcome is CanaryOutcome.IN_PROGRESS:
        return False
    life = window.last_life_at
    still = life is None or min(health.at, canary.started_at) - life >= STILL_SECONDS
    return still and canary.http_status == before.http_status == health.http_status == UNAVAILABLE


@_add.register
def _(page: MetricsObservation, window: Window) -> Window:
    if page.kind is AnswerKind.REFUSED:
        window = _refused(window, page.at)
    before = next((known for known in reversed(window.metrics) if known.reading is not None), None)
    if before is not None and before.reading is not None and page.reading is not None:
        if _is_new_process(before.reading.process_start, page.reading.process_start):
            window = window.restarted("the engine's process start time changed")
        elif has_progressed(before.reading, page.reading) and not _is_for_us_alone(window, before, page):
            window = window.alive(before.at)
    spells = after_page(window.spells, before if window.metrics else None, page, window.canaries, window.checks)
    window = _wake_noted(changed(window, spells=spells), before, page)
    window = changed(window, metrics=_append(window.metrics, page, OTHERS_MAX))
    if page.reading is None or page.reading.asleep is None:
        return window
    return window.with_sleep(by_state=window.asleep_by_state, by_metrics=page.reading.asleep, at=page.at)


def _is_for_us_alone(window: Window, before: MetricsObservation, page: MetricsObservation) -> bool:
    """What moved was our own request: whether it is answered is for its stream to tell (omlx#2858).

    An engine that generates and sends nothing is silent for everybody.
    """
    looks = [look for look in window.traffic if look.at > before.at]
    alone = bool(looks) and not any(not t.readable or t.asked or t.streaming or t.outstanding for t in looks)
    asked = any(canary.finished_at is None or canary.finished_at >= before.at for canary in window.canaries)
    return asked and alone and foreign_progress(before, page, window.canaries, window.checks) == 0


def _wake_noted(window: Window, before: MetricsObservation | None, page: MetricsObservation) -> Window:
    """An error was the answer to a wake, whoever asked for it."""
    if before is None or before.reading is None or page.reading is None or page.reading.wake_errors is None:
        return window
    # The counter's line appears with the first error.
    failed = page.reading.wake_errors > (before.reading.wake_errors or 0.0)
    return changed(window, wake_failed_at=page.at) if failed else window


@_add.register
def _(health: HealthObservation, window: Window) -> Window:
    if health.kind is AnswerKind.REFUSED:
        window = _refused(window, health.at)
    return changed(window, health=_append(window.health, health, OTHERS_MAX))


@_add.register
def _(load: LoadObservation, window: Window) -> Window:
    return changed(window, loads=_append(window.loads, load, OTHERS_MAX))


@_add.register
def _(state: StateObservation, window: Window) -> Window:
    window = changed(window, states=_append(window.states, state, OTHERS_MAX))
    if state.asleep is None and state.paused is None:
        return window
    # An engine that says that it is awake knows it better than its metrics page of some seconds ago.
    by_metrics = window.asleep_by_metrics and state.asleep is None
    return window.with_sleep(by_state=bool(state.asleep or state.paused), by_metrics=by_metrics, at=state.at)


@_add.register
def _(status: StatusObservation, window: Window) -> Window:
    if status.kind is AnswerKind.REFUSED:
        window = _refused(window, status.at)
    hold = hold_after(window.hold, status, window)
    window = changed(window, hold=hold, status=_append(window.status, status, STATUS_MAX))
    unloaded = None if status.reading is None else status.reading.unloaded
    if unloaded is None or unloaded == window.unloaded:
        return window
    # Its next answer waits for a load, which may take minutes: it starts anew.
    return changed(window.cold(), unloaded=unloaded, starting_since=status.at)


@_add.register
def _(check: CheckObservation, window: Window) -> Window:
    # Of rounds that were disturbed only the newest counts, for when to try again.
    kept = tuple(past for past in window.checks if past.kind is not check.kind or not past.disturbed)
    checks = _append(kept, check, CHECKS_MAX)
    baseline = learn(window.baseline, checks)
    cache = window.cache.after_round(check)
    return changed(window, checks=checks, baseline=baseline, judged=judged(checks, baseline), cache=cache)


@_add.register
def _(seen: SocketsObservation, window: Window) -> Window:
    if seen.readable and seen.listeners:
        if window.listeners and not window.listeners & seen.listeners:
            window = window.restarted("another process listens on the engine's port")
        window = changed(window, listeners=seen.listeners)
    ledger, traffic = fold(window.ledger, seen)
    spells = after_traffic(window.spells, ledger, traffic.since, traffic.at)
    window = changed(window, ledger=ledger, spells=spells, traffic=_append(window.traffic, traffic, TRAFFIC_MAX))
    return window.alive(traffic.since) if traffic.streaming else window


@_add.register
def _(beat: Beat, window: Window) -> Window:
    before = window.beat_at
    window = changed(window, beat_at=beat.at)
    if before is None or beat.at - before <= BEAT_GAP_SECONDS:
        return window
    return changed(window, blind=_append(window.blind, Span(before, beat.at), OTHERS_MAX))


def _refused(window: Window, at: float) -> Window:
    """Nobody listens: whatever comes next is another process."""
    # Nothing is known of a process that has refused all so far: voided again and again, each canary would be the first
    # one, and due at once.
    known = window.answered or any(canary.outcome is not CanaryOutcome.REFUSED for canary in window.canaries)
    window = window.restarted("nobody listened on the engine's port") if known else window
    # The next listener is no other process than the one that is being asked from here on.
    return changed(window, refused_at=at, listeners=frozenset())


def _append(history: tuple[T, ...], item: T, limit: int) -> tuple[T, ...]:
    return (*history[-limit + 1 :], item)


def _is_new_process(before: float | None, after: float | None) -> bool:
    return before is not None and after is not None and abs(after - before) > PROCESS_START_TOLERANCE_SECONDS


def _moments(observation: Observation) -> tuple[float, ...]:
    if not isinstance(observation, CanaryObservation):
        return (observation.at,)
    moments = (observation.started_at, observation.first_token_at, observation.last_token_at, observation.finished_at)
    return tuple(moment for moment in moments if moment is not None)
