"""`IncompleteStream`: streams that do not end as they should, in a row; and what is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType
from llm_watchdog.api.reasons import REASONS, FaultClass, FindingReason, VerdictState
from llm_watchdog.api.thresholds import DetectorsPolicy
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Flaw
from llm_watchdog.core.detectors.incomplete_stream import incomplete_stream
from llm_watchdog.core.intake import observe_all
from llm_watchdog.core.observations import Beat
from llm_watchdog.core.window import Window
from tests.sidecar.detectors.stage import BEGIN, Odd, played
from tests.sidecar.simulation import Client, between, never

FAULT = FaultClass.INCOMPLETE_STREAM


def from_begin(flaw: Flaw, **fields: object) -> Odd:
    return Odd(flaw=lambda now: flaw if now >= BEGIN else None, **fields)  # type: ignore[arg-type]


TRUE_CASES = {
    # A46: no finish_reason, no [DONE], sometimes nothing in the log
    "A46 no finish reason": (from_begin(Flaw.NO_FINISH_REASON), FindingReason.NO_FINISH_REASON),
    # A47: finish_reason null
    "A47 finish reason is null": (from_begin(Flaw.NO_FINISH_REASON, flaw_tokens=1), FindingReason.NO_FINISH_REASON),
    # A48: a 200 that closes in the middle
    "A48 body cut": (from_begin(Flaw.BODY_CUT), FindingReason.BODY_CUT),
    # A49: [DONE] is never sent
    "A49 no terminator": (from_begin(Flaw.NO_TERMINATOR), FindingReason.NO_TERMINATOR),
    "Chatchat: 200 with null": (from_begin(Flaw.EMPTY_ANSWER, flaw_tokens=0), FindingReason.EMPTY_ANSWER),
    "DB-GPT: an error inside a 200": (
        from_begin(Flaw.ERROR_IN_STREAM, flaw_outcome=CanaryOutcome.ERROR_IN_STREAM, flaw_tokens=0),
        FindingReason.ERROR_IN_STREAM,
    ),
    "an error in the middle of a stream": (
        from_begin(Flaw.ERROR_IN_STREAM, flaw_outcome=CanaryOutcome.ERROR_IN_STREAM, flaw_tokens=2, flaw_status=500),
        FindingReason.ERROR_IN_STREAM,
    ),
    "usage and tokens disagree": (from_begin(Flaw.USAGE_MISMATCH), FindingReason.USAGE_MISMATCH),
    "beside users": (
        from_begin(Flaw.NO_FINISH_REASON, clients=[Client(at=5, peer="a"), Client(at=6, peer="b")]),
        FindingReason.NO_FINISH_REASON,
    ),
    "DB-GPT: cut after `1`": (
        Odd(answer=lambda now: ("1", "stop") if now >= BEGIN else ("1234", "stop")),
        FindingReason.ANSWER_CUT,
    ),
    "cut every other time": (
        Odd(answer=lambda now: ("1", "stop") if now >= BEGIN and now % 4 < 2 else ("1234", "stop")),
        FindingReason.ANSWER_CUT,
    ),
}

FALSE_CASES = {
    "one sporadic failure": Odd(flaw=lambda now: Flaw.BODY_CUT if BEGIN <= now < BEGIN + 0.9 else None),
    "one in sixty": Odd(flaw=lambda now: Flaw.NO_FINISH_REASON if now >= BEGIN and now % 120 < 0.9 else None),
    "somebody else aborts what runs, twice in a row": Odd(
        flaw=lambda now: Flaw.NO_FINISH_REASON if BEGIN <= now < BEGIN + 3 else None, flaw_finish="abort"
    ),
    # a stream that is cut by a restart is followed by refused connections
    "a restart by somebody else": Odd(
        flaw=lambda now: Flaw.BODY_CUT if BEGIN <= now < BEGIN + 1.5 else None, refuses=between(BEGIN + 1.5, BEGIN + 40)
    ),
    "a pause by somebody else": Odd(
        flaw=lambda now: Flaw.NO_FINISH_REASON if BEGIN <= now < BEGIN + 1 else None,
        flaw_finish="abort",
        asleep=between(BEGIN + 1, BEGIN + 60),
    ),
    "capped at its limit": Odd(answer=lambda now: ("1" if now >= BEGIN else "1234", "length")),
    "always as short": Odd(answer=lambda _now: ("1", "stop")),
    "several tokens in a chunk": Odd(answer=lambda _now: ("12", "stop")),
}


@pytest.mark.parametrize("name", TRUE_CASES)
def test_is_found(name: str) -> None:
    engine, reason = TRUE_CASES[name]
    stage = played(engine, BEGIN + (130 if engine.clients else 60))
    assert reason in REASONS[FAULT]
    finding = stage.finding(FAULT)
    assert finding is not None
    assert (finding.reason, finding.state) == (reason, VerdictState.FAULTY)
    assert stage.incidents() == {FAULT}
    faulty = stage.when(reason, faulty=True)
    assert faulty is not None
    assert faulty >= 10, "a moment is no ground for a restart"


@pytest.mark.parametrize("name", FALSE_CASES)
def test_is_none(name: str) -> None:
    stage = played(FALSE_CASES[name])
    assert stage.incidents() == set()


def test_a_bad_stream_for_which_nothing_came_is_silent_and_others_are_not() -> None:
    empty = played(from_begin(Flaw.EMPTY_ANSWER, flaw_tokens=0), BEGIN + 15).finding(FAULT)
    cut = played(from_begin(Flaw.BODY_CUT), BEGIN + 15).finding(FAULT)
    assert empty is not None
    assert cut is not None
    assert (empty.silent, cut.silent) == (True, False)


def test_out_of_rotation_after_two_and_not_after_one() -> None:
    stage = played(from_begin(Flaw.BODY_CUT), BEGIN + 10)
    at = stage.when(FindingReason.BODY_CUT)
    assert at is not None
    assert 1 <= at <= 4


def test_it_ends_with_the_first_whole_answer() -> None:
    stage = played(Odd(flaw=lambda now: Flaw.BODY_CUT if BEGIN <= now < BEGIN + 60 else None, silent=never), BEGIN + 70)
    assert stage.verdict.state is VerdictState.HEALTHY


def test_a_stream_that_the_server_behind_broke_off_is_told_and_restarts_nothing() -> None:
    engine = from_begin(Flaw.UPSTREAM_FAILED, flaw_outcome=CanaryOutcome.ERROR_IN_STREAM, flaw_tokens=2)
    stage = played(engine, BEGIN + 300)
    finding = stage.finding(FAULT)
    assert finding is not None
    assert (finding.reason, finding.state) == (FindingReason.ERROR_IN_STREAM, VerdictState.SUSPECT)
    assert finding.incident
    assert stage.when(FindingReason.ERROR_IN_STREAM, faulty=True) is None


def test_an_end_mark_that_is_counted_hides_no_cut() -> None:
    stage = played(Odd(answer=lambda now: ("1.", "stop") if now >= BEGIN else ("1234567", "length")), BEGIN + 60)
    assert stage.when(FindingReason.ANSWER_CUT, faulty=True) is not None


def test_a_restart_that_cuts_a_canary_which_had_waited_long_leaves_no_incident() -> None:
    cut = CanaryObservation(
        id="c1", shape="s", started_at=100, finished_at=105.2, outcome=CanaryOutcome.INCOMPLETE, flaw=Flaw.BODY_CUT
    )
    reset = replace(cut, id="c2", started_at=105.3, finished_at=105.4)
    window = observe_all(Window(answered=True, last_life_at=99), [Beat(at=105.5), cut, reset])
    target = EngineTarget(type=EngineType.DBGPT)
    found = incomplete_stream(window, target, DetectorsPolicy(), 105.5)
    awake = observe_all(window, [Beat(at=at) for at in (106, 106.5, 107, 107.3)])
    later = incomplete_stream(awake, target, DetectorsPolicy(), 107.3)
    assert found is not None
    assert not found.incident
    assert later is not None
    assert later.incident
