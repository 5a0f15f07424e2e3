"""The report: Markdown for people, JSON for programs, a plot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from benchmarks.detection.report import table
from benchmarks.remediation.plot import draw
from benchmarks.remediation.results import NVSENTINEL_P90, Results, Scenario, as_json

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.remediation.judging import Breach
    from benchmarks.remediation.results import Spread

BREACHES_MAX: Final = 20
"""Named in the report."""


def write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "remediation.json").write_text(json.dumps(as_json(results), indent=1) + "\n")
    is_drawn = draw(results, folder / "remediation.png")
    (folder / "remediation.md").write_text(markdown(results, has_plot=is_drawn))


def markdown(results: Results, *, has_plot: bool = False) -> str:
    first = results.scenarios[0]
    parts = [
        "# Remediation of a fleet",
        f"{first.workers} workers, {first.replicas} replicas, drawn from {results.drawn}.",
        f"A simulated restart takes {results.restart_seconds:g} s and its proof {results.proof_seconds:g} s.",
        "![time to grant, requests and grants over time](remediation.png)" if has_plot else "",
        _times(results),
        _rules(results),
        _costs(results),
        _machine(results),
        _problems(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _times(results: Results) -> str:
    rows = [
        (
            f"{one.share:.0%}",
            one.judged.requests,
            _seconds(one.judged.request_seconds),
            one.waits.count,
            _spread(one.at_once),
            _spread(one.in_turn),
            _spread(one.waits),
            _spread(one.reported),
            _spread(one.with_turn),
            _seconds(NVSENTINEL_P90.get(one.share)),
        )
        for one in results.scenarios
    ]
    head = (
        "faulty",
        "requests",
        "within",
        "grants",
        "request → grant, nothing forbids it",
        "turn comes → grant",
        "both",
        "incident → grant, nothing forbids it",
        "request → grant with the turn",
        "NVSentinel, P90",
    )
    note = (
        "Seconds: p50 / p90 / p99 / longest. NVSentinel's are published, of 1,503 nodes on machines of their own: from"
        " a fatal event, staggered over 30 s, to the cordoned node, its breaker off from 25 % on. Beside them stands"
        " incident → grant: all at once, budget and brake on, one machine."
    )
    return f"## Time to grant\n\n{table(head, rows)}\n\n{note}"


def _rules(results: Results) -> str:
    rows = [
        (
            f"{one.share:.0%}",
            len(one.judged.budget),
            len(one.judged.brake),
            one.judged.trials,
            one.judged.held,
            one.judged.closed,
            one.judged.waiting,
            one.judged.withdrawn,
        )
        for one in results.scenarios
    ]
    head = (
        *("faulty", "budget exceeded", "brake passed over", "workers with a trial", "of them held"),
        *("incidents ended", "requests held to the end", "grants not claimed in time"),
    )
    return f"## Budget and brake\n\n{table(head, rows)}\n\nChecked at every change that the watch showed."


def _costs(results: Results) -> str:
    rows = [
        (
            f"{one.share:.0%}",
            f"{one.cost.start_seconds:.1f}",
            f"{one.cost.cpu_at_start:.1f}",
            f"{one.cost.cpu_seconds:.1f}",
            f"{one.cost.starved_seconds:.1f}",
            f"{one.cost.over_seconds:.0f}",
            f"{one.cost.rss_at_rest_mib:.0f}",
            f"{one.cost.peak_mib:.0f}",
            one.cost.writes,
            "-" if one.writes_per_grant is None else f"{one.writes_per_grant:.1f}",
            one.cost.failed_passes,
            one.cost.unexpected_errors,
        )
        for one in results.scenarios
    ]
    head = (
        *("faulty", "lease → first relist, s", "CPU until at rest, s", "CPU of the faults, s"),
        *("without a core, s", "over, s"),
        *("RSS at rest, MiB", "RSS peak, MiB", "writes", "writes per grant", "failed passes", "unexpected errors"),
    )
    return f"## The operator\n\n{table(head, rows)}"


def _machine(results: Results) -> str:
    rows = [
        (
            f"{one.share:.0%}",
            one.machine.cores,
            one.machine.nice,
            f"{one.machine.load_before:.1f} → {one.machine.load_after:.1f}",
            f"{_seconds(one.machine.client_p50)} / {_seconds(one.machine.client_p99)}",
        )
        for one in results.scenarios
    ]
    head = ("faulty", "cores", "nice", "load, 1 min", "a write of the fake watchdogs, p50 / p99, s")
    return f"## The machine\n\n{table(head, rows)}"


def _problems(results: Results) -> str:
    lines = [line for one in results.scenarios for line in _of(one)]
    return "## What went wrong\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""


def _of(one: Scenario) -> list[str]:
    def told(rule: str, breaches: list[Breach]) -> list[str]:
        named = [f"{rule}: {b.worker[1]}, {b.incident}: {b.why}" for b in breaches[:BREACHES_MAX]]
        return named + ([f"{rule}: {len(breaches) - BREACHES_MAX} more"] if len(breaches) > BREACHES_MAX else [])

    lines = [*told("budget", one.judged.budget), *told("brake", one.judged.brake), *one.problems]
    return [f"{one.share:.0%}, {line}" for line in lines]


def _spread(spread: Spread) -> str:
    return " / ".join(_seconds(value) for value in (spread.p50, spread.p90, spread.p99, spread.longest))


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"
