"""The report: Markdown for people, JSON for programs, a plot. Says what was measured and lists what was missed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import e2e.fault_engine.faults as catalogue
from benchmarks.detection.entrants import ENTRANTS, OURS
from benchmarks.detection.plot import draw
from benchmarks.detection.results import Results, alarms, as_json, cost, detected_within, detection
from e2e.fault_engine.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.detection.scoring import Score

WITHIN: Final = (10, 60, 300, 1800)
"""Seconds, of the curve of sporadic faults."""
FASTER: Final = 0.8
"""A rival wins on speed when its median is below so much of ours."""


def write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "detection.json").write_text(json.dumps(as_json(results), indent=1) + "\n")
    is_drawn = draw(results, folder / "detection.png")
    (folder / "detection.md").write_text(markdown(results, has_plot=is_drawn))


def markdown(results: Results, *, has_plot: bool = False) -> str:
    parts = [
        "# Detection of faults, side by side",
        f"Drawn from {results.drawn}, {results.seeds} seeds, code {results.sources}. Time is simulated (README.md).",
        "![detection rate, time to the first reaction, sporadic faults](detection.png)" if has_plot else "",
        _summary(results),
        _by_behaviour(results),
        _healthy(results),
        _sporadic(results),
        _wins(results),
        _misses(results),
        _unseen(),
        _failures(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _rules(results: Results, part: str) -> list[str]:
    return [entrant.name for entrant in ENTRANTS if entrant.name in results.rules(part)]


def _summary(results: Results) -> str:
    rows = []
    for rule in _rules(results, "faults") or _rules(results, "healthy"):
        quiet = [s for part in ("faults", "healthy", "free") for s in results.of(part, rule=rule)]
        found, false = detection(results.of("faults", rule=rule)), alarms(quiet)
        idle = cost([s for s in quiet if s.load == "idle" and s.expected is None])
        busy = cost([s for s in quiet if s.load == "busy" and s.expected is None])
        rows.append(
            (
                rule,
                f"{found.hits}/{found.runs} ({found.low:.0%}-{found.high:.0%})",
                _seconds(found.p50),
                _seconds(found.p99),
                _seconds(found.restart_p50),
                f"{found.right}/{found.opened}" if found.opened else "-",
                f"{false.outs} in {false.hours:.1f} h",
                f"{false.restarts} (≤ {false.restarts_at_most:.0f} per 1,000 h)",
                f"{idle.requests:.0f} / {idle.tokens:.0f}",
                "-" if busy.share is None else f"{busy.share:.2%}",
            )
        )
    head = (
        "rule",
        "detected (95 %)",
        "p50",
        "p99",
        "restart p50",
        "class right",
        "false out of rotation",
        "false restarts (95 % bound)",
        "requests / tokens per idle hour",
        "tokens of users' when busy",
    )
    note = (
        "Each rule is counted where it can be used: the kubelet's rules where `GET /health` is answered, Dynamo's and "
        "hang-watcher's for vLLM and SGLang. A reaction is the first of: out of rotation, restart, incident."
    )
    return f"## Summary\n\n{table(head, rows)}\n\n{note}"


def _by_behaviour(results: Results) -> str:
    rules = _rules(results, "faults")
    rows = []
    for name in results.behaviours("faults"):
        cells = [_cell(results.of("faults", rule=rule, behaviour=name)) for rule in rules]
        cited = {row for s in results.of("faults", behaviour=name) for row in FAULTS[s.fault].rows}
        rows.append((name, ", ".join(sorted(cited, key=lambda row: int(row[1:]))), *cells))
    if not rows:
        return ""
    note = "Detected of those that came into force; p50 / p99 of the seconds to the first reaction."
    return f"## Faults\n\n{note}\n\n{table(('behaviour', 'rows', *rules), rows)}"


def _cell(scores: Sequence[Score]) -> str:
    found = detection(scores)
    if not scores:
        return "n/a"
    if not found.runs:
        return "never came"
    return f"{found.hits}/{found.runs}" + (f" {_seconds(found.p50)} / {_seconds(found.p99)}" if found.hits else "")


def _healthy(results: Results) -> str:
    rules = _rules(results, "healthy")
    rows = []
    for name in results.behaviours("healthy"):
        cells = []
        for rule in rules:
            scores = results.of("healthy", rule=rule, behaviour=name)
            false = alarms(scores)
            cells.append(f"{false.outs} / {false.restarts} / {false.incidents} of {len(scores)}" if scores else "n/a")
        rows.append((name, *cells))
    free = results.of("free")
    lines = []
    if rows:
        note = "Out of rotation / restarts / incidents, all false, of so many runs."
        lines.append(f"## Healthy, and easily mistaken\n\n{note}")
        lines.append(table(("behaviour", *rules), rows))
    if free:
        false = alarms(free)
        lines.append(
            f"Users and no fault, {false.hours:.1f} h of the product alone: {false.outs} times out of rotation "
            f"(≤ {false.outs_at_most:.1f} per 1,000 h with 95 % confidence), {false.restarts} restarts "
            f"(≤ {false.restarts_at_most:.1f}), {false.incidents} incidents."
        )
    return "\n\n".join(lines)


def _sporadic(results: Results) -> str:
    scores = results.of("sporadic")
    if not scores:
        return ""
    rows: list[Sequence[object]] = []
    keys = sorted({(s.behaviour, s.incidence or 1.0, s.rule) for s in scores}, key=lambda k: (k[0], -k[1], k[2]))
    for behaviour, share, rule in keys:
        mine = [s for s in scores if (s.behaviour, s.incidence, s.rule) == (behaviour, share, rule)]
        shares = ["-" if x is None else f"{x:.0%}" for x in (detected_within(mine, seconds) for seconds in WITHIN)]
        rows.append((behaviour, f"1 in {1 / share:.0f}", rule, len(mine), *shares))
    head = ("behaviour", "incidence", "rule", "runs", *(f"within {seconds} s" for seconds in WITHIN))
    note = "Share of the runs with a reaction, by the share of requests that are hit."
    return f"## Sporadic faults\n\n{note}\n\n{table(head, rows)}"


def _wins(results: Results) -> str:
    """Where a rival found more, or the same much sooner."""
    lines = []
    for name in results.behaviours("faults"):
        of = results.of("faults", behaviour=name)
        for rule in _rules(results, "faults"):
            theirs = [s for s in of if s.rule == rule]
            dialects = {s.dialect for s in theirs}
            ours = detection([s for s in of if s.rule == OURS and s.dialect in dialects])
            found = detection(theirs)
            if rule == OURS or not found.hits or not ours.runs:
                continue
            sooner = found.p50 is not None and ours.p50 is not None and found.p50 < FASTER * ours.p50
            if found.rate > ours.rate or (sooner and found.rate >= ours.rate):
                lines.append(
                    f"- {name}: `{rule}` {found.hits}/{found.runs} at {_seconds(found.p50)}; "
                    f"ours in the same dialects {ours.hits}/{ours.runs} at {_seconds(ours.p50)}"
                )
    return "## Where a rival wins\n\n" + ("\n".join(lines) or "Nowhere in these runs.")


def _misses(results: Results) -> str:
    ours = [s for s in results.of("faults") if s.rule == OURS]
    missed = [s for s in ours if s.began and not s.detected and not s.unseen]
    hidden = [s for s in ours if s.began and not s.detected and s.unseen]
    silent = [s for s in ours if s.detected and not s.found]
    wrong = [s for s in ours if s.right_class is False]
    absent = [s for s in ours if not s.began]
    false = [
        s
        for part in results.scores
        for s in results.of(part)
        if s.rule == OURS and (s.false_outs or s.false_restarts or s.false_incidents)
    ]
    errors = [s for part in results.scores for s in results.of(part) if s.own_errors]
    return "\n\n".join(
        (
            "## Misses of ours, one by one",
            _list("Not detected", missed),
            _list("Not detected, and nothing shows it from outside", hidden, lambda s: f": {s.unseen}"),
            _list("Another class than expected", wrong, lambda s: f": {s.found}, expected {s.expected}"),
            _list("A reaction, and no incident", silent, lambda s: f": after {_seconds(s.seconds)}"),
            _list(
                "False alarms",
                false,
                lambda s: f": {s.false_outs} out, {s.false_restarts} restarts, {s.false_incidents} incidents",
            ),
            _list("The fault never came into force", absent),
            _list("Errors in a rule's own code", errors, lambda s: f": {s.own_errors} of {s.rule}"),
        )
    )


def _list(title: str, scores: Sequence[Score], more: Callable[[Score], str] = lambda _: "") -> str:
    lines = [
        f"- {s.behaviour}: `{s.fault}{'' if s.argument is None else '=' + s.argument}` in {s.dialect}, {s.load}, "
        f"seed {s.seed}{more(s)}"
        for s in sorted(scores, key=lambda s: (s.behaviour, s.fault, s.dialect, s.seed))
    ]
    return f"{title}: {len(scores) or 'none'}." + ("\n\n" + "\n".join(lines) if lines else "")


def _unseen() -> str:
    """What the fault engine cannot show, or a look from the pod cannot see."""
    entries = [entry for entry in FAULTS.values() if entry.expected and entry.seen_by == "nothing"]
    hidden = [f"- `{entry.name}` ({', '.join(entry.rows)}): {entry.needs}" for entry in entries]
    unseen = tomllib.loads((Path(catalogue.__file__).with_name("unseen.toml")).read_text())
    rows = [f"- {name}: {_reason(value)}" for name, value in unseen.items()]
    return "## Not visible from inside the pod, so not played\n\n" + "\n".join([*hidden, *rows])


def _reason(value: Any) -> str:
    return "; ".join(str(said) for said in value.values()) if isinstance(value, dict) else str(value)


def _failures(results: Results) -> str:
    if not results.failures:
        return ""
    lines = [f"- {failure.run}\n\n```\n{failure.why}\n```" for failure in results.failures]
    return "## Runs that failed by the benchmark's own fault\n\n" + "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
