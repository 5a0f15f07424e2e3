"""Which cases are played again in real time, and how both worlds compare. Each pair is the same case."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from benchmarks.detection.cases import FREE, Behaviour, Case, LoadName, draw, expand
from benchmarks.detection.entrants import ENTRANTS, OURS
from benchmarks.detection.real.play import Played, play
from benchmarks.detection.scoring import Score, score
from benchmarks.detection.simulation.play import play as simulate
from e2e.fault_engine.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ONSET_SECONDS: Final = 60.0
STARTUP_SECONDS: Final = 3.0
"""Waiting for the fault is the longest part of a real run; both worlds get this."""
SELDOM_SECONDS: Final = 2.0
"""A kubelet would not ask more often; the samples are looked at sooner, for exact times."""
SETTLED_SECONDS: Final = 60.0
"""Of the free run: start-up and start-up checks are not the watchdog at rest."""


@dataclass(frozen=True, slots=True)
class Pair:
    simulated: Score
    real: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Of the watchdog's process, the start-up left out."""

    beside: str
    minutes: float
    cpu_share: float
    """Of one core."""
    rss_mib: float
    """The most seen."""


def sample(behaviours: Iterable[Behaviour], dialects: frozenset[str], seed: int, drawn: int) -> list[Case]:
    """One case of each behaviour whose faults begin when they are ordered, the dialects in turn."""
    chosen = []
    for place, behaviour in enumerate(behaviours):
        faults = tuple(fault for fault in behaviour.faults if not _waits(fault))
        if not faults:
            continue
        cases = list(expand([replace(behaviour, faults=faults)], dialects, [seed], drawn))
        if cases:
            case = cases[place % len(cases)]
            chosen.append(replace(case, onset=min(case.onset, ONSET_SECONDS), startup_seconds=STARTUP_SECONDS))
    return chosen


def _waits(fault: str) -> bool:
    """For something whose moment only the engine knows."""
    return bool(set(FAULTS[fault.partition("=")[0]].begins) - {"after_wake"})


def compare(cases: Sequence[Case], at_once: int) -> list[Pair]:
    """In real time, so many at once."""
    entrant = next(entrant for entrant in ENTRANTS if entrant.name == OURS)
    pairs = []
    for number in range(0, len(cases), at_once):
        some = cases[number : number + at_once]
        print(f">> real: {number}/{len(cases)}, now {', '.join(case.behaviour for case in some)}", file=sys.stderr)
        for case, played in zip(some, asyncio.run(_play_all(some)), strict=True):
            pairs.append(Pair(score(case, OURS, simulate(case, entrant)), score(case, OURS, played.trace)))
    return pairs


async def _play_all(cases: Sequence[Case]) -> list[Played]:
    return list(await asyncio.gather(*(play(case) for case in cases)))


def free(minutes: float, load: LoadName, dialect: str, drawn: int) -> tuple[Score, Footprint]:
    """No fault, in real time, and what the watchdog takes of the machine."""
    behaviour = Behaviour(name=FREE, says="", faults=("busy",), loads=(load,), seconds=minutes * 60)
    case = replace(draw(behaviour, "busy", dialect, f"{drawn}/real"), onset=0.0, startup_seconds=STARTUP_SECONDS)
    print(f">> real: {minutes:g} minutes without a fault, {load}, {dialect}", file=sys.stderr)
    played = asyncio.run(play(case, look_seconds=SELDOM_SECONDS))
    return score(case, OURS, played.trace), footprint(f"{dialect}, {load}", played)


def footprint(beside: str, played: Played) -> Footprint:
    """Of the time after the start-up, or of all where there is no more."""
    settled = [(at, use) for at, use in played.uses if at >= SETTLED_SECONDS]
    uses = settled if len(settled) > 1 else played.uses
    (begin, first), (end, last) = uses[0], uses[-1]
    seconds = max(end - begin, 1e-9)
    return Footprint(
        beside=beside,
        minutes=seconds / 60,
        cpu_share=(last.cpu_seconds - first.cpu_seconds) / seconds,
        rss_mib=max(use.rss_mib for _, use in uses),
    )


def as_json(pairs: Sequence[Pair], frees: Sequence[tuple[Score, Footprint]]) -> dict[str, Any]:
    return {
        "pairs": [{"simulated": pair.simulated.as_json(), "real": pair.real.as_json()} for pair in pairs],
        "free": [
            {"score": one.as_json(), "cpuShare": use.cpu_share, "rssMiB": use.rss_mib, "minutes": use.minutes}
            for one, use in frees
        ],
    }
