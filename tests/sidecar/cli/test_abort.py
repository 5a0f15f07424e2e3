"""The mildest rung for real: a canary that the engine goes on with after it was cut is aborted by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sidecar.cli.host import until

if TYPE_CHECKING:
    from tests.sidecar.cli.host import Host

POLICY = """
canary: {interval: 300ms, timeout: 4s}
detectors: {runawayGeneration: {deadline: 3s}}
checks: {interval: 0s, fingerprint: Disabled, cache: Disabled, crossTalk: Disabled, slots: Disabled}
"""
CALLS = {"vllm": "/abort_requests", "sglang": "/abort_request"}


def aborts(host: Host) -> list[tuple[str, int]]:
    calls = [event for event in host.engine_events("finished") if event["path"] in CALLS.values()]
    return [(event["path"], event["status"]) for event in calls]


@pytest.mark.parametrize("engine", CALLS)
def test_a_canary_that_runs_on_is_aborted_and_nothing_else_is_done(host: Host, engine: str) -> None:
    host.start_engine("--dialect", engine, VLLM_SERVER_DEV_MODE="1")
    watchdog = host.run("--engine", engine, "--restart-command", host.restart_command, policy=POLICY)
    until("in rotation", watchdog.serves)
    host.order("runs-on")
    watchdog.told(phase="Closed", outcome="Recovered")
    told: list[tuple[Any, ...]] = [(line["phase"], line["step"], line["stepOutcome"]) for line in watchdog.lines]
    assert told == [
        ("Open", None, None),
        ("Open", "AbortRequest", None),
        ("Open", "AbortRequest", "Succeeded"),
        ("Closed", None, None),
    ]
    first, last = watchdog.lines[0], watchdog.lines[-1]
    assert (first["fault"], first["reason"]) == ("RunawayGeneration", "TokensForNobody")
    assert "Recovered by AbortRequest" in last["message"]
    assert aborts(host) == [(CALLS[engine], 200)]
    assert watchdog.serves()
    assert host.ran == 0


def test_where_the_engine_has_no_call_for_it_the_next_rung_follows(host: Host) -> None:
    """Without dev mode vLLM answers 404, and the ladder waits for the evidence that a restart needs."""
    host.start_engine()
    policy = POLICY.replace("deadline: 3s", "deadline: 3s, restartDeadline: 8s")
    watchdog = host.run("--engine", "vllm", "--restart-command", host.restart_command, policy=policy)
    until("in rotation", watchdog.serves)
    host.order("runs-on")
    watchdog.told(phase="Closed", outcome="Recovered")
    steps = [(line["step"], line["stepOutcome"]) for line in watchdog.lines if line["stepOutcome"]]
    assert steps == [("AbortRequest", "Unavailable"), ("Drain", "Succeeded"), ("Restart", "Succeeded")]
    assert "needs vLLM 0.26 and VLLM_SERVER_DEV_MODE=1" in watchdog.told(stepOutcome="Unavailable")["message"]
    assert host.ran == 1
