"""Spells: what has held at each look, since when. A few numbers in place of ten minutes of pages.

A look that cannot tell ends a spell (`None` is no evidence); a page that could not be fetched neither ends nor extends
one. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import CanaryOutcome
from llm_watchdog.core.connections import GENERATION_REQUEST_MIN_BYTES, HEADERS_MAX_BYTES
from llm_watchdog.core.progress import foreign_progress, has_progressed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_watchdog.core.canaries import CanaryObservation
    from llm_watchdog.core.check_rounds import CheckObservation
    from llm_watchdog.core.connections import Ledger
    from llm_watchdog.core.observations import MetricsObservation, MetricsReading

SLACK_SECONDS: Final = 1.0
"""Between a stream's end and its count on a page."""
FREE_CACHE: Final = 0.9
"""Of the KV cache: below this a request of ordinary length would be admitted."""
SELDOM_SECONDS: Final = 30.0
"""A counter may move less often than pages come: SGLang's steps are told by forties, which took 7 s in a server that
starved its users (intel/llm-scaler#391).
"""
HELD_CACHE: Final = 0.001
"""Of the KV cache, more than this engine ever held while idle."""


class Holds(StrEnum):
    """What may hold."""

    NOBODY = "Nobody"
    """No client waits for an answer or gets one, by the sockets."""
    WAITING = "Waiting"
    """Requests wait in the engine's queue."""
    NOT_ADMITTED = "NotAdmitted"
    """The same, although nothing runs and the cache is free."""
    UNFINISHED = "Unfinished"
    """No request was finished."""
    FREE = "Free"
    """There is room in the cache, or the engine does not tell of any."""
    MOVING = "Moving"
    """The engine made a step between two pages."""
    FOREIGN = "Foreign"
    """It generated more than our canaries account for."""
    RUNNING = "Running"
    """More requests run than are ours, and than this engine ever showed at rest."""
    CACHE_HELD = "CacheHeld"
    """Nothing runs or waits, and more cache is in use than ever before while idle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """From the first look at which it held to the newest one."""

    since: float
    until: float
    most_running: float
    """No look in it showed more requests running; infinite where the looks do not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spells:
    """Those that last, and the extremes that they are measured against."""

    lasting: Mapping[Holds, Spell]
    most_running: float = 0.0
    """The most requests that this engine process was ever seen to run at once."""
    least_cache: float | None = None
    """The least cache in use that was ever seen while nothing ran or waited."""
    least_running: float | None = None
    """The fewest requests that were ever seen to run while none of ours did."""

    def of(self, *wanted: Holds) -> Spell | None:
        """The time during which all of them have held, or None."""
        found = [self.lasting.get(holds) for holds in wanted]
        known = [spell for spell in found if spell is not None]
        if not known or len(known) < len(found):
            return None
        since, until = max(spell.since for spell in known), min(spell.until for spell in known)
        return Spell(since=since, until=until, most_running=min(spell.most_running for spell in known))


NONE_YET: Final = Spells(lasting={})


def after_traffic(spells: Spells, ledger: Ledger, since: float, at: float) -> Spells:
    """With a look at the sockets, the one before at `since`."""
    nobody = ledger.readable and not any(_waits(c.asked_bytes, c.answered_bytes) and c.open for c in ledger.connections)
    nobody = nobody and not any(c.is_streaming(at) for c in ledger.connections)
    return replace(spells, lasting=_with(spells.lasting, {Holds.NOBODY: nobody}, since, at, inf))


def after_page(
    spells: Spells,
    before: MetricsObservation | None,
    page: MetricsObservation,
    canaries: Iterable[CanaryObservation],
    checks: Iterable[CheckObservation],
) -> Spells:
    """With a metrics page, `before` being the last one that could be read."""
    reading = page.reading
    if reading is None:
        return spells
    own, running, waiting = page.own_canaries, reading.running, reading.waiting or 0.0
    idle = running == 0 and waiting == 0 and own == 0
    cache = _least(spells.least_cache, reading.kv_usage if idle else None)
    fewest = _least(spells.least_running, running if own == 0 else None)
    now: dict[Holds, bool | None] = {
        Holds.WAITING: waiting > own,
        Holds.NOT_ADMITTED: waiting > own and running is not None and running <= own and _is_free(reading),
        Holds.FREE: reading.kv_usage is None or _is_free(reading),
        Holds.RUNNING: (running or 0.0) > max(own, fewest or 0.0),
        # Beside a canary of ours the cache is in use anyway.
        Holds.CACHE_HELD: None if own else idle and (reading.kv_usage or 0.0) > (cache or 0.0) + HELD_CACHE,
    }
    lasting = _with(spells.lasting, now, page.at, page.at, running or 0.0)
    between = _between(lasting, before, page, canaries, checks)
    lasting = _with(lasting, between, _at(before, page), page.at, running or 0.0)
    return Spells(
        lasting=lasting,
        most_running=max(spells.most_running, running or 0.0),
        least_cache=cache,
        least_running=fewest,
    )


def refreshed(spell: Spell, canaries: Iterable[CanaryObservation]) -> bool:
    """A canary's whole life lies in the spell: its steps have pushed anew what may be stale (vllm#22545)."""
    return any(
        canary.outcome is CanaryOutcome.SUCCEEDED
        and canary.started_at > spell.since
        and (canary.finished_at or canary.started_at) < spell.until
        for canary in canaries
    )


def _between(
    lasting: Mapping[Holds, Spell],
    before: MetricsObservation | None,
    page: MetricsObservation,
    canaries: Iterable[CanaryObservation],
    checks: Iterable[CheckObservation],
) -> dict[Holds, bool | None]:
    """What two pages tell together."""
    if before is None or before.reading is None or page.reading is None or page.at <= before.at:
        return {Holds.UNFINISHED: False, Holds.MOVING: False, Holds.FOREIGN: False}
    finished = (before.reading.finished, page.reading.finished)
    return {
        Holds.UNFINISHED: finished[0] == finished[1] and not (None in finished and _fewer_run(before, page)),
        Holds.MOVING: _or_lately(lasting.get(Holds.MOVING), page, seen=has_progressed(before.reading, page.reading)),
        Holds.FOREIGN: not _somebody_is_answered(finished, before, page, canaries)
        and _or_lately(lasting.get(Holds.FOREIGN), page, seen=foreign_progress(before, page, canaries, checks) > 0),
    }


def _or_lately(spell: Spell | None, page: MetricsObservation, *, seen: bool) -> bool | None:
    """Not known, where it was not seen but held a moment ago, and more is in the engine than what we ask."""
    lately = spell is not None and page.at - spell.until < SELDOM_SECONDS
    reading = page.reading
    others = reading is not None and (reading.running or 0.0) + (reading.waiting or 0.0) > page.own_canaries
    return None if lately and others and not seen else seen


def _fewer_run(before: MetricsObservation, page: MetricsObservation) -> bool:
    """Where no counter tells what was finished: more than our own have gone from those that ran."""
    one, other = before.reading, page.reading
    if one is None or other is None or one.running is None or other.running is None:
        return False
    return one.running - other.running > before.own_canaries


def _somebody_is_answered(
    finished: tuple[float | None, float | None],
    before: MetricsObservation,
    page: MetricsObservation,
    canaries: Iterable[CanaryObservation],
) -> bool:
    """More requests were finished than ours: users whose requests are shorter than a look at the sockets."""
    if finished[0] is None or finished[1] is None:
        return False
    ends = (canary.finished_at for canary in canaries if canary.finished_at is not None)
    ours = sum(before.at - SLACK_SECONDS <= end <= page.at + SLACK_SECONDS for end in ends)
    return finished[1] - finished[0] > ours


def _with(
    lasting: Mapping[Holds, Spell], now: Mapping[Holds, bool | None], since: float, at: float, running: float
) -> Mapping[Holds, Spell]:
    changed = dict(lasting)
    for holds, so in now.items():
        if so is None:
            continue
        known = changed.pop(holds, None)
        if so and (known is None or at < known.until):
            changed[holds] = Spell(since=since, until=at, most_running=running)
        elif so and known is not None:
            changed[holds] = replace(known, until=at, most_running=max(known.most_running, running))
    return changed


def _at(before: MetricsObservation | None, page: MetricsObservation) -> float:
    return page.at if before is None else before.at


def _is_free(reading: MetricsReading) -> bool:
    return reading.kv_usage is not None and reading.kv_usage < FREE_CACHE


def _least(known: float | None, seen: float | None) -> float | None:
    found = [value for value in (known, seen) if value is not None and value >= 0]
    return min(found, default=None)


def _waits(asked: int, answered: int) -> bool:
    return asked >= GENERATION_REQUEST_MIN_BYTES and answered < HEADERS_MAX_BYTES
