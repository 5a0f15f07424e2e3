"""Slots that are held while nothing moves, as an engine's status endpoint shows them, and for whom.

Busy and leaked look alike at one instant: five long streams fill a FastChat worker as five leaked permits do. What
tells them apart is time in which no byte moves, no request ends, and nobody waits for an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import SILENT_OUTCOMES
from llm_watchdog.core.habits import Hold
from llm_watchdog.core.observations import AnswerKind
from llm_watchdog.core.spells import Holds
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.core.observations import StatusObservation, StatusReading
    from llm_watchdog.core.window import Window

FRESH_SECONDS: Final = 45.0
"""A status look that is older, with none since, says nothing about now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The newest looks, at all of which slots were held and nothing moved."""

    since: float
    until: float
    held: int
    """The fewest at any of these looks, our own requests not counted."""
    limit: int | None
    tells_progress: bool
    for_nobody: bool
    """By the sockets, no client waited for an answer in all that time."""
    leaving: str = ""

    @property
    def all_of_them(self) -> bool:
        """No slot is left for anybody."""
        return self.limit is not None and self.held >= self.limit > 0


def slots_held(window: Window, target: EngineTarget, now: float) -> Held | None:
    """By the busy count of a status endpoint."""
    tellers = {look.name for look in window.status if look.reading is not None and _tells(look.reading)}
    run: list[StatusObservation] = []
    if not tellers:
        return None
    for look in (look for look in reversed(window.status) if look.reading is not None and look.name in tellers):
        if (run and not _goes_on(look, run[-1])) or not (_told(look) > 0 or _leaving(look)):
            break
        run.append(look)
    if not run or run[0].at < window.horizon(now) - FRESH_SECONDS:
        return None
    full = _full(window, target, run)
    if full is not None:
        return full
    hold, nobody = window.hold, window.spells.of(Holds.NOBODY)
    if hold is None or nobody is None or hold.until < window.horizon(now) - FRESH_SECONDS:
        return None
    # Canaries may pass beside a partial leak: no life of ours excuses it, and there is none of others.
    since = max(hold.since, nobody.since)
    held = _held(window, target, run, run[0], for_nobody=True)
    return replace(held, held=hold.held, since=since, until=max(since, hold.until))


def hold_after(hold: Hold | None, look: StatusObservation, window: Window) -> Hold | None:
    """What is held with one more look at the status, the window being that before it."""
    if look.reading is None or (hold is not None and hold.look.name != look.name):
        return hold
    if not (_told(look) > 0 or _leaving(look)):
        return None
    if not _leaving(look) and _told(look) <= look.own_canaries:
        # No more is busy there than what we ask right now.
        return None
    held, own = _busy(window, look), _own(window, look)
    if not _leaving(look) and (held <= 0 or (own > 0 and look.reading.progress is not None)):
        # Our own request is among what is busy there, or among what moves.
        return hold
    # Against what others held: a stream of ours that ended meanwhile has given its own slot back.
    goes_on = hold is not None and _told(look) >= hold.newest and _stands(hold.look, look)
    if hold is None or not goes_on:
        return Hold(since=look.at, until=look.at, held=held, look=look, newest=held)
    return replace(hold, until=look.at, held=min(hold.held, held), look=look, newest=held)


def _full(window: Window, target: EngineTarget, run: list[StatusObservation]) -> Held | None:
    """All slots, from the first look at which they were, for as long as nothing has moved for anybody.

    A canary of ours that began later cannot have got one of them.
    """
    moved, limit = _since(window, run[-1].at), _limit(target, run)
    for look in reversed(run):
        if limit is None or look.at < moved or _told(look) < limit:
            continue
        held = _held(window, target, run, look, for_nobody=nobody_since(window, look.at))
        if held.all_of_them:
            return held
    return None


def _limit(target: EngineTarget, run: list[StatusObservation]) -> int | None:
    newest = run[0].reading
    return target.concurrency or (None if newest is None else newest.slots)


def _held(
    window: Window, target: EngineTarget, run: list[StatusObservation], first: StatusObservation, *, for_nobody: bool
) -> Held:
    newest = run[0].reading
    return Held(
        since=first.at,
        until=max(first.at, run[0].at),
        held=_busy(window, first),
        tells_progress=newest is not None and newest.progress is not None,
        limit=_limit(target, run),
        for_nobody=for_nobody,
        leaving=_leaving(run[0]),
    )


def probes_hanging(window: Window, now: float) -> Held | None:
    """Calls that take a slot and no token get no answer, while others do."""
    run: list[StatusObservation] = []
    for look in (look for look in reversed(window.status) if look.takes_slot):
        if look.kind is not AnswerKind.SILENT:
            break
        run.append(look)
    if not run or run[0].at < window.horizon(now) - FRESH_SECONDS:
        return None
    since = _since(window, run[-1].at - run[-1].seconds)
    answers = [h.at for h in window.health if h.kind is AnswerKind.ANSWERED]
    answers += [look.at for look in window.status if look.kind is AnswerKind.ANSWERED]
    if max(answers, default=since) <= since:
        return None
    until = max(since, run[0].at)
    return Held(
        since=since, until=until, held=0, limit=None, tells_progress=False, for_nobody=nobody_since(window, since)
    )


def is_held_for_nobody(window: Window, target: EngineTarget, now: float) -> bool:
    """Is the likelier fault one of slots, so that the silence of a canary is but its consequence?"""
    held = slots_held(window, target, now)
    full = held is not None and held.all_of_them and held.for_nobody
    return full or probes_hanging(window, now) is not None


def nobody_since(window: Window, since: float) -> bool:
    """No client waited for an answer at any look at the sockets since then."""
    spell = window.spells.of(Holds.NOBODY)
    return spell is not None and spell.since <= since and spell.until >= window.horizon(since)


def lasted(window: Window, held: Held) -> float:
    """Seconds that the watchdog was awake for."""
    return window.seen_seconds(Span(held.since, held.until))


def _goes_on(earlier: StatusObservation, later: StatusObservation) -> bool:
    """Nothing ended and nothing moved between two looks; a slot that came free and was taken again is life."""
    return _told(earlier) <= _told(later) and _stands(earlier, later)


def _stands(earlier: StatusObservation, later: StatusObservation) -> bool:
    """What moves in the slots, where the same call tells it, is as far as it was."""
    one, other = earlier.reading, later.reading
    return one is not None and other is not None and earlier.name == later.name and one.progress == other.progress


def _tells(reading: StatusReading) -> bool:
    return reading.busy is not None or bool(reading.leaving)


def _told(look: StatusObservation) -> int:
    return 0 if look.reading is None else look.reading.busy or 0


def _busy(window: Window, look: StatusObservation) -> int:
    return _told(look) - _own(window, look)


def _own(window: Window, look: StatusObservation) -> int:
    """Our requests that may hold a slot at that time: in flight, or given up on and perhaps not noticed to be."""
    at = look.at
    passed = float("-inf") if window.last_passed_at is None else window.last_passed_at
    begun = [canary for canary in window.canaries if canary.started_at <= at]
    in_flight = sum(canary.finished_at is None or canary.finished_at > at for canary in begun)
    given_up = sum(
        canary.outcome in SILENT_OUTCOMES and canary.started_at > passed and canary.finished_at <= at
        for canary in begun
        if canary.finished_at is not None
    )
    return max(in_flight, look.own_canaries) + given_up


def _leaving(look: StatusObservation) -> str:
    return "" if look.reading is None else look.reading.leaving


def _since(window: Window, first: float) -> float:
    """Whatever moved for anybody later shows that it was no leak until then."""
    return first if window.last_life_at is None else max(first, window.last_life_at)
