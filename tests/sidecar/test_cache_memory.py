"""A flush that is answered with 200 and empties nothing is found out; one that empties is never accused."""

from __future__ import annotations

from typing import Any

import pytest

from llm_watchdog.core.cache_memory import CacheMemory
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.check_rounds import Arm, CheckAnswer, CheckKind, CheckObservation

FULL, SHARED = 192.0, 32.0
CANARY = CanaryObservation(id="k", shape="s", started_at=0.0, outcome=CanaryOutcome.SUCCEEDED, max_tokens=8)


def pair(*found: float | None, kind: CheckKind = CheckKind.CACHE_PAIR, **facts: Any) -> CheckObservation:
    """So many tokens were hits when it was asked the first time, the second time, and not at all around the cache."""
    cached = [CheckAnswer(prompt="cached", arm=Arm.CACHED, canary=CANARY, hit_tokens=tokens) for tokens in found]
    cold = CheckAnswer(prompt="cached", arm=Arm.COLD, canary=CANARY, hit_tokens=0.0)
    return CheckObservation(at=1.0, started_at=0.0, kind=kind, answers=(*cached, cold), **facts)


def seen(*rounds: CheckObservation, before: CacheMemory | None = None) -> CacheMemory:
    memory = before or CacheMemory()
    for each in rounds:
        memory = memory.after_round(each)
    return memory


KNOWN = seen(pair(0.0, FULL), pair(FULL))
FLUSHED = KNOWN.after_flush()


def test_what_was_a_hit_before_and_still_is_was_not_flushed() -> None:
    assert seen(pair(FULL), before=FLUSHED).kept == FULL


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(pair(0.0, FULL), id="it misses"),
        pytest.param(pair(SHARED, FULL), id="only the template's beginning, which a canary has cached again"),
        pytest.param(pair(None, None), id="the engine does not tell"),
    ],
)
def test_a_flush_that_emptied_is_not_accused(first: CheckObservation) -> None:
    memory = seen(first, before=FLUSHED)
    assert memory.kept == 0
    assert seen(pair(FULL), pair(FULL), before=memory).kept == 0, "the round itself has filled it again"


def test_a_round_that_was_cut_may_have_filled_it() -> None:
    cut = CheckObservation(at=1.0, started_at=0.0, kind=CheckKind.CACHE_PAIR, disturbed=True)
    assert seen(cut, pair(FULL), before=FLUSHED).kept == 0


def test_other_checks_do_not_ask_for_it() -> None:
    assert seen(pair(FULL, kind=CheckKind.FINGERPRINT), pair(FULL), before=FLUSHED).kept == FULL


def test_where_no_hit_was_ever_seen_none_can_be_missed() -> None:
    assert seen(pair(FULL), before=CacheMemory().after_flush()).kept == 0


def test_the_next_flush_is_judged_anew() -> None:
    refuted = seen(pair(FULL), before=FLUSHED)
    assert refuted.after_flush().kept == 0
    assert seen(pair(0.0, FULL), before=refuted.after_flush()).kept == 0
    assert seen(pair(FULL), before=refuted.after_flush()).kept == FULL


def test_after_a_sleep_of_anothers_nothing_was_flushed() -> None:
    assert seen(pair(FULL), before=FLUSHED.after_sleep()).kept == 0
