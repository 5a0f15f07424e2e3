"""`python -m benchmarks.detection`: detection rate, delay, false alarms and cost, of the product and of other rules."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.detection.behaviours import FAULTY, HEALTHY, INCIDENCES, SPORADIC
from benchmarks.detection.cases import expand, free_hours, sporadic
from benchmarks.detection.entrants import ENTRANTS, OURS
from benchmarks.detection.report import write
from benchmarks.detection.results import Results, from_json
from benchmarks.detection.running import play_all, runs
from benchmarks.detection.sources import sources_hash
from e2e.fault_engine.faults.entry import DIALECTS

WRITTEN_SECONDS: Final = 60.0
"""A run that is ended has left a report of what it had done."""
RESULTS: Final = Path(__file__).parents[1] / "results"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    add = parser.add_argument
    add("--seeds", type=int, default=3, help="cases of each behaviour in each dialect (default: 3)")
    add("--draw", type=int, help="the number that all luck comes from (default: a new one, which is told)")
    add("--hours", type=float, default=10, help="simulated without a fault, of the product alone (default: 10)")
    add("--sporadic-seeds", type=int, help="of each behaviour, share and load (default: as --seeds)")
    add("--dialects", nargs="+", choices=DIALECTS, default=list(DIALECTS))
    add("--rules", nargs="+", choices=[entrant.name for entrant in ENTRANTS], default=[e.name for e in ENTRANTS])
    add("--only", nargs="+", default=[], metavar="TEXT", help="behaviours whose names contain it")
    add("--processes", type=int, default=2)
    add("--out", type=Path, default=RESULTS, help="folder of the report")
    add("--go-on", action="store_true", help="with the report in the folder, of the same draw and the same code")
    return parser


def _begun(said: argparse.Namespace) -> Results:
    """Raises SystemExit."""
    sources = sources_hash()
    if not said.go_on:
        drawn = secrets.randbelow(10**6) if said.draw is None else said.draw
        return Results(drawn=drawn, seeds=said.seeds, sources=sources)
    path = said.out / "detection.json"
    if not path.exists():
        raise SystemExit(f"--go-on: there is no {path}")
    begun = from_json(json.loads(path.read_text()))
    if begun.sources != sources:
        raise SystemExit(f"--go-on: {path} is of other code ({begun.sources}, now {sources})")
    if said.draw not in (None, begun.drawn):
        raise SystemExit(f"--go-on: {path} was drawn from {begun.drawn}, not from {said.draw}")
    begun.seeds = said.seeds
    return begun


def main() -> int:
    said = _parser().parse_args()
    results = _begun(said)
    drawn = results.drawn
    print(f">> drawn from {drawn}, code {results.sources}", file=sys.stderr)
    dialects, seeds = frozenset(said.dialects), range(said.seeds)

    def chosen(name: str) -> bool:
        return not said.only or any(text in name for text in said.only)

    faulty = [one for one in FAULTY if chosen(one.name)]
    healthy = [one for one in HEALTHY if chosen(one.name)]
    some = [one for one in SPORADIC if chosen(one.name)]
    shares = range(said.seeds if said.sporadic_seeds is None else said.sporadic_seeds)
    parts = {
        "faults": list(runs(expand(faulty, dialects, seeds, drawn), said.rules)),
        "healthy": list(runs(expand(healthy, dialects, seeds, drawn), said.rules)),
        "sporadic": list(runs(sporadic(some, INCIDENCES, shares, drawn), said.rules)),
        "free": list(runs(free_hours(said.hours, dialects, drawn), [OURS])),
    }
    written = time.monotonic()
    for what, todo in parts.items():
        left = results.left_of(what, todo)
        for outcome in play_all(left, said.processes, what) if left else ():
            results.add(what, outcome)
            if time.monotonic() - written > WRITTEN_SECONDS:
                written = time.monotonic()
                write(results, said.out)
    write(results, said.out)
    print(said.out / "detection.md")
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
