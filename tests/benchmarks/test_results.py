"""A report can be read again, and a run that was ended is taken up where it was."""

from __future__ import annotations

import json
from dataclasses import replace

from benchmarks.detection.behaviours import FAULTY, HEALTHY
from benchmarks.detection.cases import Case, Run, draw
from benchmarks.detection.report import markdown
from benchmarks.detection.results import Failure, Results, as_json, from_json
from benchmarks.detection.scoring import Score, score
from benchmarks.detection.trace import Trace

HANG = draw(FAULTY[0], "hang", "vllm", "7/0")
SLOW = draw(HEALTHY[0], "slow-health=1.03", "vllm", "7/0")


def scored(case: Case, rule: str) -> Score:
    trace = Trace([])
    trace.ended = 60.0
    return score(case, rule, trace)


def results() -> Results:
    begun = Results(drawn=7, seeds=2, sources="abc")
    begun.add("faults", scored(HANG, "ours"))
    begun.add("healthy", scored(SLOW, "kserve"))
    begun.add("faults", Failure("ours beside something", "why"))
    return begun


def test_a_report_reads_as_it_was_written() -> None:
    read = from_json(json.loads(json.dumps(as_json(results()))))
    assert (read.drawn, read.seeds, read.sources) == (7, 2, "abc")
    assert read.scores == results().scores


def test_what_was_played_is_not_played_again_and_all_else_is() -> None:
    partly = replace(HANG, incidence=0.1)
    todo = [Run(HANG, "ours"), Run(HANG, "kserve"), Run(partly, "ours"), Run(replace(HANG, seed="7/1"), "ours")]
    assert results().left_of("faults", todo) == todo[1:]
    assert results().left_of("sporadic", todo) == todo


def test_a_run_that_failed_is_played_again() -> None:
    assert from_json(as_json(results())).failures == []


def test_what_nothing_shows_is_counted_and_told_apart() -> None:
    silent = next(behaviour for behaviour in FAULTY if behaviour.name == "incomplete streams")
    begun = results()
    for dialect in ("vllm", "llamacpp"):
        missed = scored(draw(silent, "wrong-usage=3", dialect, "7/0"), "ours")
        begun.add("faults", replace(missed, began=True))
    told = markdown(begun)
    seen, _, hidden = told.partition("Not detected, and nothing shows it from outside: 1.")
    assert "`wrong-usage=3` in vllm" in seen.partition("Not detected: ")[2]
    assert "`wrong-usage=3` in llamacpp" in hidden.partition("\n\n")[2].partition("\n\n")[0]
    assert "ours | 0/2" in told
