"""Two pictures in one: how soon grants come, and how requests and grants add up over time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.figure import figure
from benchmarks.remediation.results import NVSENTINEL_P90

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.remediation.results import Results

INCHES: Final = (13, 5.5)
COLOURS: Final = ("#4477aa", "#ccbb44", "#ee6677")
SHORTEST: Final = 0.001
"""Seconds, of a logarithmic axis."""


def draw(results: Results, path: Path) -> bool:
    """False where matplotlib is not installed."""
    return figure(path, INCHES, partial(_waits, results=results), partial(_course, results=results))


def _waits(axes: Any, results: Results) -> None:
    for scenario, colour in zip(results.scenarios, COLOURS, strict=False):
        reported = sorted(max(one.reported, SHORTEST) for one in scenario.judged.waited if one.is_first)
        shares = [100 * (place + 1) / len(reported) for place in range(len(reported))]
        axes.step(reported, shares, where="post", color=colour, label=f"{scenario.share:.0%} faulty")
        published = NVSENTINEL_P90.get(scenario.share)
        if published is not None:
            label = f"NVSentinel, P90 of 1,503 nodes, {scenario.share:.0%}"
            axes.plot([published], [90], marker="x", color=colour, linestyle="", label=label)
    axes.set(
        title="incident → grant, where nothing forbids it", xscale="log", xlabel="seconds", ylabel="% of the grants"
    )
    axes.legend(fontsize=7)


def _course(axes: Any, results: Results) -> None:
    for scenario, colour in zip(results.scenarios, COLOURS, strict=False):
        for times, style, what in (
            (scenario.judged.asked_at, ":", "requests"),
            (scenario.judged.granted_at, "-", "grants"),
        ):
            counted = range(1, len(times) + 1)
            label = f"{what}, {scenario.share:.0%}"
            axes.step(sorted(times), counted, where="post", color=colour, linestyle=style, label=label)
    axes.set(title="requests and grants", xlabel="seconds since the first incident", ylabel="so far")
    axes.legend(fontsize=7)
