"""`python -m benchmarks.detection.real`: a sample in real time beside its simulation, and a run without a fault."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.detection.__main__ import RESULTS
from benchmarks.detection.behaviours import FAULTY, HEALTHY
from benchmarks.detection.cases import LoadName
from benchmarks.detection.real.sample import Footprint, Pair, as_json, compare, free, sample
from benchmarks.detection.report import table
from e2e.fault_engine.faults.entry import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.detection.scoring import Score

RSS_MIB = 50
CPU_SHARE = 0.01
"""What the watchdog may take when idle."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection.real", description=__doc__)
    parser.add_argument("--samples", type=int, help="cases, of which one takes about three minutes (default: all)")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60, help="without a fault; half idle, half busy (default: 60)")
    parser.add_argument("--draw", type=int)
    parser.add_argument("--out", type=Path, default=RESULTS)
    said = parser.parse_args()
    drawn = secrets.randbelow(10**6) if said.draw is None else said.draw
    print(f">> drawn from {drawn}", file=sys.stderr)
    cases = sample([*FAULTY, *(one for one in HEALTHY if one.seconds <= 300)], frozenset(DIALECTS), 0, drawn)
    pairs = compare(cases[: said.samples], said.at_once)
    loads = (LoadName.IDLE, LoadName.BUSY) if said.minutes else ()
    frees = [free(said.minutes / len(loads), load, "vllm", drawn) for load in loads]
    said.out.mkdir(parents=True, exist_ok=True)
    (said.out / "real.json").write_text(json.dumps(as_json(pairs, frees), indent=1) + "\n")
    (said.out / "real.md").write_text(markdown(drawn, pairs, frees))
    print(said.out / "real.md")
    return 0


def markdown(drawn: int, pairs: Sequence[Pair], frees: Sequence[tuple[Score, Footprint]]) -> str:
    """Side by side."""
    same = sum(pair.simulated.detected == pair.real.detected for pair in pairs)
    classes = sum(pair.simulated.found.partition("/")[0] == pair.real.found.partition("/")[0] for pair in pairs)
    rows = [
        (
            f"{pair.real.behaviour}: `{pair.real.fault}` in {pair.real.dialect}, {pair.real.load}",
            *(_reaction(one) for one in (pair.simulated, pair.real)),
            *(f"{one.false_outs} / {one.false_restarts}" for one in (pair.simulated, pair.real)),
        )
        for pair in pairs
    ]
    head = ("case", "simulated: reaction / restart", "real", "false out / restarts, simulated", "real")
    agreement = (
        f"Drawn from {drawn}. The same case twice: simulated, and as processes over sockets. "
        f"Detected in both or in neither: {same} of {len(pairs)}; the same class: {classes} of {len(pairs)}."
    )
    lines = ["# The simulation against real time", agreement, table(head, rows) if rows else ""]
    if frees:
        quiet_head = ("without a fault", "minutes", "false out", "false restarts", "CPU of one core", "RSS")
        quiet = [
            (
                use.beside,
                f"{use.minutes:.1f}",
                one.false_outs,
                one.false_restarts,
                f"{use.cpu_share:.2%} (aim when idle: {CPU_SHARE:.0%})",
                f"{use.rss_mib:.1f} MiB (aim: {RSS_MIB})",
            )
            for one, use in frees
        ]
        lines.append(table(quiet_head, quiet))
    return "\n\n".join(line for line in lines if line) + "\n"


def _reaction(one: Score) -> str:
    return f"{_seconds(one.seconds)} / {_seconds(one.restart_seconds)} {one.found}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
