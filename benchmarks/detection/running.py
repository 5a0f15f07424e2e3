"""Plays many runs, each in a process of a small pool, and tells how far it is."""

from __future__ import annotations

import gc
import sys
import time
import traceback
from multiprocessing import get_context
from typing import TYPE_CHECKING, Final

from benchmarks.detection.cases import Run
from benchmarks.detection.entrants import ENTRANTS
from benchmarks.detection.results import Failure
from benchmarks.detection.scoring import Score, score
from benchmarks.detection.simulation.play import play

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.detection.cases import Case

TOLD_SECONDS: Final = 15.0
RUNS_PER_PROCESS: Final = 200
"""What a run leaves behind goes with its process."""
GARBAGE: Final = 50_000
"""Objects more than were freed, from which on it is collected."""


def runs(cases: Iterable[Case], rules: Sequence[str]) -> Iterator[Run]:
    """Each case with each rule that can be used there."""
    for case in cases:
        for entrant in ENTRANTS:
            if entrant.name in rules and case.dialect in entrant.dialects:
                yield Run(case, entrant.name)


def play_run(run: Run) -> Score | Failure:
    """In a process of the pool."""
    entrant = next(entrant for entrant in ENTRANTS if entrant.name == run.rule)
    try:
        return score(run.case, run.rule, play(run.case, entrant))
    except Exception:  # noqa: BLE001 - it is reported, and the others go on
        return Failure(f"{run.rule} beside {run.case.name}", traceback.format_exc(limit=-4))


def _collect_seldom() -> None:
    """In a process of the pool: what is loaded stays, and garbage in cycles is rare. A tenth of the time of a run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


def play_all(todo: Sequence[Run], processes: int, what: str) -> Iterator[Score | Failure]:
    """As they are done, in any order."""
    simulated = 0.0
    began = told = time.monotonic()
    # Not a ProcessPoolExecutor: with max_tasks_per_child it may wait for ever for a worker that ended (cpython#115634).
    with get_context("spawn").Pool(processes, _collect_seldom, maxtasksperchild=RUNS_PER_PROCESS) as pool:
        for done, outcome in enumerate(pool.imap_unordered(play_run, todo), 1):
            simulated += outcome.hours if isinstance(outcome, Score) else 0.0
            yield outcome
            if time.monotonic() - told >= TOLD_SECONDS or done == len(todo):
                told = time.monotonic()
                left = (told - began) / done * (len(todo) - done)
                line = f">> {what}: {done}/{len(todo)} runs, {simulated:.1f} h simulated, about {left:.0f} s to go"
                print(line, file=sys.stderr, flush=True)
