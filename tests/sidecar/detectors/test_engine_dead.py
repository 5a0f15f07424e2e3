"""`EngineDead`: errors at once, memory, a start that takes too long; and servers that load, drain or relay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm_watchdog.api.reasons import FaultClass, FindingReason, UnknownReason, VerdictState
from llm_watchdog.core.canaries import CanaryOutcome, Flaw
from tests.sidecar.detectors.stage import BEGIN, Odd, Stage, played
from tests.sidecar.simulation import Client, between

FAULT = FaultClass.ENGINE_DEAD
FOR_EVER = float("inf")


def failing(flaw: Flaw | None, *, status: int = 500, outcome: CanaryOutcome = CanaryOutcome.SERVER_ERROR) -> Odd:
    flawed = flaw or Flaw.ERROR_IN_STREAM
    return Odd(
        flaw=lambda now: flawed if now >= BEGIN else None, flaw_outcome=outcome, flaw_tokens=0, flaw_status=status
    )


TRUE_CASES = {
    # A8, A11: the worker is gone, the server answers 500
    "A8 completions 500, health 200": (Odd(errors=between(BEGIN)), FindingReason.COMPLETIONS_FAILING),
    # recorded from vLLM with VLLM_KEEP_ALIVE_ON_ENGINE_DEATH
    "health 503, completions 500": (
        Odd(errors=between(BEGIN), unhealthy=between(BEGIN)),
        FindingReason.HEALTH_FAILING,
    ),
    # A30, A55
    "A30 out of memory, 500": (failing(Flaw.OUT_OF_MEMORY), FindingReason.OUT_OF_MEMORY),
    "FastChat: out of memory inside a 200": (
        failing(Flaw.OUT_OF_MEMORY, status=200, outcome=CanaryOutcome.ERROR_IN_STREAM),
        FindingReason.OUT_OF_MEMORY,
    ),
    "vLLM: an error of 500 as the first event": (
        failing(None, outcome=CanaryOutcome.ERROR_IN_STREAM),
        FindingReason.COMPLETIONS_FAILING,
    ),
}


@pytest.mark.parametrize("name", TRUE_CASES)
def test_is_found(name: str) -> None:
    engine, reason = TRUE_CASES[name]
    stage = played(engine, BEGIN + 60)
    finding = stage.finding(FAULT)
    assert finding is not None
    assert (finding.reason, finding.state, finding.silent) == (reason, VerdictState.FAULTY, True)
    assert stage.incidents() == {FAULT}


@pytest.mark.parametrize("outcome", [CanaryOutcome.SERVER_ERROR, CanaryOutcome.ERROR_IN_STREAM])
def test_a_relayed_error_is_told_and_never_restarts(outcome: CanaryOutcome) -> None:
    stage = played(failing(Flaw.UPSTREAM_FAILED, status=502, outcome=outcome), BEGIN + 3600)
    finding = stage.finding(FAULT)
    assert finding is not None
    assert (finding.reason, finding.silent) == (FindingReason.UPSTREAM_FAILED, False)
    assert stage.first(VerdictState.FAULTY) is None
    assert stage.incidents() == {FAULT}


@pytest.mark.parametrize("status", [401, 402, 403, 404, 422, 429])
def test_a_4xx_is_never_a_fault(status: int) -> None:
    stage = played(Odd(errors=between(BEGIN), error_status=status), BEGIN + 600)
    assert not stage.reasons()
    assert stage.verdict.unknown is UnknownReason.CANARY_REJECTED


NEW_STARTS = {
    "refused for 25 minutes": Odd(refuses=between(BEGIN, BEGIN + 1500)),
    "refused, then 503 of everything": Odd(
        refuses=between(BEGIN, BEGIN + 5),
        errors=between(BEGIN, BEGIN + 1500),
        error_status=503,
        unhealthy=between(BEGIN, BEGIN + 1500),
        listener=lambda now: 7 if now < BEGIN else 8,
    ),
    # llama.cpp answers every path with 503 while it loads; SGLang while it drains
    "503 of everything in the same process": Odd(
        errors=between(BEGIN, BEGIN + 1500), error_status=503, unhealthy=between(BEGIN, BEGIN + 1500)
    ),
    "a new process that hangs while it loads": Odd(
        silent=between(BEGIN, BEGIN + 1500), listener=lambda now: 7 if now < BEGIN else 8
    ),
}


@pytest.mark.parametrize("name", NEW_STARTS)
def test_a_new_start_has_the_start_up_limit(name: str) -> None:
    stage = played(NEW_STARTS[name], BEGIN + 1510)
    assert stage.incidents() == set()
    assert stage.verdicts[int((BEGIN + 30) * 4)][1].unknown is UnknownReason.STARTING
    assert stage.verdict.state is VerdictState.HEALTHY


@pytest.mark.parametrize(
    "engine",
    [
        Odd(refuses=between(BEGIN)),
        Odd(errors=between(BEGIN), error_status=503, unhealthy=between(BEGIN)),
        Odd(silent=between(BEGIN), listener=lambda now: 7 if now < BEGIN else 8),
    ],
    ids=["refused", "503 of everything", "hangs"],
)
def test_a_start_that_outlasts_the_limit_is_a_fault(engine: Odd) -> None:
    stage = played(engine, BEGIN + 1900)
    at = stage.when(FindingReason.START_TIMED_OUT, incident=True)
    assert at is not None
    assert 1800 <= at <= 1815


@pytest.mark.parametrize("engine", [Odd(refuses=between(0)), Odd(silent=between(0)), Odd(errors=between(0))])
def test_one_that_came_up_in_an_earlier_life_of_the_watchdog_is_waited_for_no_longer(engine: Odd) -> None:
    stage = Stage(engine)
    stage.window = stage.window.started_anew(0.0)
    stage.run(1900)
    after_begin = stage.when(FindingReason.START_TIMED_OUT, incident=True)
    assert after_begin is not None
    assert 1800 <= BEGIN + after_begin <= 1815


def test_a_container_that_was_killed_for_want_of_memory_is_called_so() -> None:
    stage = Stage(Odd(refuses=between(BEGIN)))
    stage.run(BEGIN + 10)
    stage.window = replace(stage.window, last_exit="OOMKilled")
    stage.run(BEGIN + 1900)
    assert {finding.reason for finding in stage.verdict.findings} == {FindingReason.OUT_OF_MEMORY}
    assert stage.verdict.state is VerdictState.FAULTY


@pytest.mark.parametrize("engine", [Odd(refuses=between(0)), Odd(silent=between(0)), Odd(errors=between(0))])
def test_an_engine_that_never_answered_is_left_alone_for_ever(engine: Odd) -> None:
    stage = played(engine, 4000)
    assert stage.states() == {VerdictState.UNKNOWN}


def test_503_of_everything_while_users_stream_is_a_load() -> None:
    """F7: its health endpoint fails under load."""
    clients = [Client(at=5 + n, peer=f"10.0.0.9:{n}:1") for n in range(8)]
    busy = Odd(errors=between(BEGIN), error_status=503, unhealthy=between(BEGIN), clients=clients)
    assert played(busy, BEGIN + 900).reasons() == set()


def test_503_of_everything_leaves_rotation_before_the_history_is_void() -> None:
    stage = played(Odd(errors=between(BEGIN), error_status=503, unhealthy=between(BEGIN)), BEGIN + 30)
    at = stage.when(FindingReason.HEALTH_FAILING)
    assert at is not None
    assert at <= 5
    assert stage.when(FindingReason.HEALTH_FAILING, incident=True) is None
    assert stage.verdict.started_over_at is not None
