"""Three pictures in one: rate by rule, seconds to the first reaction, and the curve of sporadic faults."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from benchmarks.detection.results import Results, detected_within, detection
from benchmarks.figure import figure

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.detection.scoring import Score

INCHES: Final = (18, 5.5)
TIMES: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800)


def draw(results: Results, path: Path) -> bool:
    """False where matplotlib is not installed."""
    return figure(
        path,
        INCHES,
        partial(_rates, results=results),
        partial(_delays, results=results),
        partial(_curve, results=results),
    )


def _by_rule(results: Results, part: str) -> dict[str, list[Score]]:
    by: dict[str, list[Score]] = {}
    for score in results.of(part):
        by.setdefault(score.rule, []).append(score)
    return by


def _rates(axes: Any, results: Results) -> None:
    found = {rule: detection(scores) for rule, scores in _by_rule(results, "faults").items()}
    names = sorted(found, key=lambda rule: found[rule].rate)
    axes.barh(names, [100 * found[rule].rate for rule in names], color="#4477aa")
    for place, rule in enumerate(names):
        low, high = found[rule].low, found[rule].high
        axes.plot([100 * low, 100 * high], [place, place], color="black")
    axes.set(title="detected, with 95 % interval", xlabel="% of the faults, where the rule can be used", xlim=(0, 102))


def _delays(axes: Any, results: Results) -> None:
    for rule, scores in _by_rule(results, "faults").items():
        shares = [100 * (detected_within(scores, seconds) or 0.0) for seconds in TIMES]
        axes.plot(TIMES, shares, marker=".", label=rule)
    axes.set(title="reacted within", xscale="log", xlabel="seconds", ylabel="% of the faults", ylim=(0, 102))
    axes.legend(fontsize=7)


def _curve(axes: Any, results: Results) -> None:
    ours = [score for score in results.of("sporadic") if score.rule == "ours"]
    for share in sorted({score.incidence or 1.0 for score in ours}, reverse=True):
        scores = [score for score in ours if score.incidence == share]
        shares = [100 * (detected_within(scores, seconds) or 0.0) for seconds in TIMES]
        axes.plot(TIMES, shares, marker=".", label=f"1 request in {1 / share:.0f}")
    axes.set(title="ours, sporadic faults", xscale="log", xlabel="seconds", ylabel="% of the runs", ylim=(0, 102))
    if ours:
        axes.legend(fontsize=7)
