"""`WakeFailed`: errors, silence after a wake, pauses without end; and sleep, which is no fault."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from llm_watchdog.api.policy import WatchdogPolicy
from llm_watchdog.api.reasons import FaultClass, FindingReason, UnknownReason, VerdictState
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.api.thresholds import DetectorsPolicy, WakeFailedPolicy
from llm_watchdog.core.observations import StatusReading
from tests.sidecar.detectors.stage import BEGIN, Odd, Stage, played
from tests.sidecar.simulation import Client, between

if TYPE_CHECKING:
    from llm_watchdog.core.observations import MetricsReading

FAULT = FaultClass.WAKE_FAILED
WAKE = BEGIN + 60


def failed_wake(now: float, reading: MetricsReading) -> MetricsReading:
    return replace(reading, wake_errors=1.0) if now >= WAKE else reading


def test_a_wake_that_was_answered_with_an_error() -> None:
    """A55: /wake_up 500, out of memory; the instance stays asleep."""
    stage = played(Odd(asleep=between(BEGIN), page=failed_wake), WAKE + 60)
    found, faulty = stage.when(FindingReason.WAKE_ERROR), stage.when(FindingReason.WAKE_ERROR, faulty=True)
    assert found is not None
    assert faulty is not None
    assert 60 <= found <= 65
    assert 90 <= faulty <= 95
    assert stage.verdict.unknown is UnknownReason.ASLEEP, "rotation still says why it is out"


def test_a_wake_that_fails_once_and_then_works_is_over_with_the_first_token() -> None:
    stage = played(Odd(asleep=between(BEGIN, WAKE + 10), page=failed_wake), WAKE + 60)
    assert stage.first(VerdictState.FAULTY) is None
    assert stage.verdict.state is VerdictState.HEALTHY


def test_an_error_counter_that_was_there_before_is_none() -> None:
    def bent(_now: float, reading: MetricsReading) -> MetricsReading:
        return replace(reading, wake_errors=3.0)

    assert played(Odd(page=bent), WAKE).reasons() == set()


def test_awake_by_its_word_and_no_token() -> None:
    stage = played(Odd(asleep=between(BEGIN, WAKE), queued=between(WAKE)), WAKE + 60)
    suspected, opened, faulty = (
        stage.when(FindingReason.AWAKE_BUT_SILENT),
        stage.when(FindingReason.AWAKE_BUT_SILENT, incident=True),
        stage.when(FindingReason.AWAKE_BUT_SILENT, faulty=True),
    )
    assert suspected is not None
    assert opened is not None
    assert faulty is not None
    assert 70 <= suspected < opened < faulty <= 95
    assert stage.incidents() == {FAULT}


@pytest.mark.parametrize("seconds", [8.0, 18.0])
def test_a_slow_first_token_after_a_wake_leaves_no_record(seconds: float) -> None:
    stage = played(Odd(asleep=between(BEGIN, WAKE), queued=between(WAKE, WAKE + seconds)), WAKE + 60)
    assert stage.incidents() == set()
    assert stage.verdict.state is VerdictState.HEALTHY


def test_with_users_since_the_wake_it_may_be_a_compile() -> None:
    users = [Client(at=WAKE + 0.2, first_token_after=1e9)]
    stage = played(Odd(asleep=between(BEGIN, WAKE), silent=between(WAKE, WAKE + 70), clients=users), WAKE + 120)
    assert stage.incidents() == set()


def test_a_pause_becomes_an_incident_after_10_minutes_and_never_kills() -> None:
    stage = played(Odd(asleep=between(BEGIN)), BEGIN + 4000)
    at = stage.when(FindingReason.PAUSED_TOO_LONG, incident=True)
    assert at is not None
    assert 600 <= at <= 605
    assert stage.first(VerdictState.FAULTY) is None
    assert stage.verdict.unknown is UnknownReason.ASLEEP


@pytest.mark.parametrize("minutes", [1, 9])
def test_a_shorter_one_is_none(minutes: int) -> None:
    stage = played(Odd(asleep=between(BEGIN, BEGIN + 60 * minutes)), BEGIN + 60 * minutes + 60)
    assert stage.reasons() == set()
    assert stage.verdict.state is VerdictState.HEALTHY


def test_a_limit_of_0_is_none() -> None:
    detectors = DetectorsPolicy(wake_failed=WakeFailedPolicy(pause_deadline=Seconds(0)))
    stage = Stage(Odd(asleep=between(BEGIN)), policy=WatchdogPolicy(detectors=detectors)).run(BEGIN + 2000)
    assert stage.reasons() == set()


def test_an_unloaded_model_is_no_fault_and_its_load_is_a_start() -> None:
    """ollama and llama.cpp unload a model that nobody uses; the next request waits for the load."""
    engine = Odd(
        status=lambda now: StatusReading(unloaded=BEGIN <= now < WAKE),
        asked=lambda now: not BEGIN <= now < WAKE,
        silent=between(BEGIN, WAKE + 300),
        metrics=False,
    )
    stage = played(engine, WAKE + 320)
    assert stage.reasons() == set()
    assert stage.verdicts[int((BEGIN + 30) * 4)][1].unknown is UnknownReason.UNLOADED
    assert stage.verdicts[int((WAKE + 200) * 4)][1].unknown is UnknownReason.STARTING
    assert stage.verdict.state is VerdictState.HEALTHY
