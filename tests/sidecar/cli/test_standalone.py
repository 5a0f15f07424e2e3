"""`llm-watchdog run` beside a real server process: what scripts are told, what is done, what survives."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.crash_points import ENV_CRASH_AT
from tests.sidecar.cli.host import IMPATIENT, command, until

if TYPE_CHECKING:
    from tests.sidecar.cli.host import Host, Watchdog


def short(watchdog: Watchdog) -> list[tuple[Any, ...]]:
    return [(line["phase"], line["step"], line["stepOutcome"], line["outcome"]) for line in watchdog.lines]


def test_a_hang_is_told_line_by_line_and_cured_by_the_command(serving: Host) -> None:
    watchdog = serving.run("--engine", "vllm", "--model", "tiny", "--restart-command", serving.restart_command)
    until("in rotation", watchdog.serves)
    serving.hang()
    until("out of rotation", watchdog.waits)
    watchdog.told(phase="Closed")
    assert short(watchdog) == [
        ("Open", None, None, None),
        ("Open", "Drain", None, None),
        ("Open", "Drain", "Succeeded", None),
        ("AwaitingGrant", None, None, None),
        ("Acting", "Restart", None, None),
        ("Verifying", None, None, None),
        ("Verifying", "Restart", "Succeeded", None),
        ("Closed", None, None, "Recovered"),
    ]
    lines = watchdog.lines
    assert {(line["fault"], line["incident"]) for line in lines} == {("StalledStream", lines[0]["incident"])}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert all(line["time"].endswith("Z") and line["message"] for line in lines)
    until("in rotation again", watchdog.serves)
    assert serving.ran == 1
    assert watchdog.stop() == 0
    assert serving.engine_answers()


@pytest.mark.parametrize("point", ["decided:Ordered", "journalled:Ordered", "journalled:Verifying"])
def test_killed_in_the_middle_the_next_process_goes_on_and_runs_the_command_once(serving: Host, point: str) -> None:
    arguments = ["--restart-command", serving.restart_command]
    first = serving.run("--engine", "vllm", *arguments, **{ENV_CRASH_AT: point})
    until("in rotation", first.serves)
    serving.hang()
    assert first.process.wait(timeout=60) == -signal.SIGKILL
    second = serving.run(*arguments)  # the server hangs, and is known from before
    second.told(phase="Closed", outcome="Recovered")
    assert serving.ran == 1
    told = [*first.lines, *second.lines]
    assert len({line["incident"] for line in told}) == 1
    assert [line for line in second.lines if line["phase"] == "Open" and line["step"] is None] == []


def test_observe_tells_the_next_step_once_and_acts_on_nothing(serving: Host) -> None:
    watchdog = serving.run()
    until("in rotation", watchdog.serves)
    serving.hang()
    watchdog.told(step="Drain", stepOutcome="DryRun")
    until("what it would be", watchdog.waits)
    assert watchdog.status()["rotation"]["inRotation"] is True
    serving.hang(signal.SIGCONT)
    watchdog.told(phase="Closed", outcome="Observed")
    until("in rotation", watchdog.serves)
    assert short(watchdog) == [
        ("Open", None, None, None),
        ("Open", "Drain", "DryRun", None),
        ("Closed", None, None, "Observed"),
    ]
    assert serving.ran == 0


def test_without_a_command_the_ladder_goes_on_to_quarantine_and_a_person_lifts_it(serving: Host) -> None:
    watchdog = serving.run("--mode", "Enforce")
    until("in rotation", watchdog.serves)
    serving.hang()
    watchdog.told(phase="Closed", outcome="Quarantined")
    steps = [(line["step"], line["stepOutcome"]) for line in watchdog.lines if line["step"]]
    assert steps == [
        ("Drain", None),
        ("Drain", "Succeeded"),
        ("Restart", "Unavailable"),
        ("ReplacePod", "Unavailable"),
        ("Quarantine", None),
        ("Quarantine", "Succeeded"),
    ]
    serving.hang(signal.SIGCONT)
    assert watchdog.stop() == 0
    again = serving.run("--mode", "Enforce")
    until("quarantined still", lambda: "Quarantined" in getattr(again.get("/readyz"), "text", ""))
    released = command("release", "--journal", str(serving.journal), "--reason", "looked at it")
    assert released.returncode == 0, released.stderr
    until("in rotation", again.serves)
    assert command("release", "--journal", str(serving.journal)).returncode == 1


def test_a_command_that_fails_is_a_failed_step(serving: Host) -> None:
    watchdog = serving.run("--restart-command", "echo to the log; exit 3")
    until("in rotation", watchdog.serves)
    serving.hang()
    failed = watchdog.told(step="Restart", stepOutcome="Failed")
    assert failed["message"] == "the command ended with exit code 3"
    watchdog.told(phase="Closed", outcome="Quarantined")
    assert "to the log" in watchdog.log


def test_a_command_that_does_not_end_is_ended(serving: Host) -> None:
    sleeper = serving.folder / "sleeper"
    ended = f"sh -c 'echo $$ > {sleeper}; exec sleep 600' & wait"
    watchdog = serving.run("--restart-command", ended, "--restart-timeout", "1s")
    until("in rotation", watchdog.serves)
    serving.hang()
    timed_out = watchdog.told(step="Restart", stepOutcome="TimedOut")
    assert "within 1 s" in timed_out["message"]
    pid = int(sleeper.read_text())
    until("its child has ended too", lambda: "State:\tZ" in _proc_status(pid) or not _proc_status(pid))


def _proc_status(pid: int) -> str:
    from pathlib import Path  # noqa: PLC0415

    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def test_the_budget_holds_a_restart_back(serving: Host) -> None:
    policy = IMPATIENT + "remediation: {budget: {maxPerHour: 0}}\n"
    watchdog = serving.run("--restart-command", serving.restart_command, policy=policy)
    until("in rotation", watchdog.serves)
    serving.hang()
    watchdog.told(phase="AwaitingGrant")
    until("the reason", lambda: "maxPerHour is 0" in watchdog.status()["restartWaits"])
    assert serving.ran == 0
    (serving.folder / "policy.yaml").write_text(IMPATIENT)
    watchdog.told(phase="Closed", outcome="Recovered")
    assert serving.ran == 1


def test_a_server_that_comes_later_is_recognised(host: Host) -> None:
    watchdog = host.run()
    until("no verdict yet", watchdog.waits)
    assert watchdog.status()["verdict"]["state"] == "Unknown"
    host.start_engine()
    until("in rotation", watchdog.serves)
    assert watchdog.status()["target"]["engine"] == "vllm"
    assert watchdog.stop() == 0
    assert watchdog.lines == []


def test_stopped_while_it_waits_for_a_server(host: Host) -> None:
    watchdog = host.run()
    until("no verdict yet", watchdog.waits)
    assert watchdog.stop() == 0


def test_a_model_that_is_not_served_is_an_error_that_lists_what_is(serving: Host) -> None:
    until("the server", serving.engine_answers)
    watchdog = serving.run("--model", "huge")
    assert watchdog.process.wait(timeout=30) == 2
    assert "'huge' is not served; the server lists tiny" in watchdog.log
    assert watchdog.lines == []


def test_a_model_that_turns_out_not_to_be_served_is_unknown(host: Host) -> None:
    watchdog = host.run("--engine", "vllm", "--model", "huge")
    until("up", watchdog.waits)
    host.start_engine()
    until("the problem", lambda: "lists tiny" in watchdog.status().get("modelProblem", ""))
    until("the canary's rejection", lambda: watchdog.status()["verdict"].get("unknown") == "CanaryRejected")
    assert watchdog.waits()
    assert watchdog.process.poll() is None


def test_a_second_process_does_not_take_the_journal(serving: Host) -> None:
    first = serving.run()
    until("in rotation", first.serves)
    second = serving.run()
    assert second.process.wait(timeout=30) == 2
    assert "another llm-watchdog" in second.log


@pytest.mark.parametrize(
    ("policy", "paths"),
    [
        ("canary: {interval: soon, tokens: 3}", ["canary.interval: ", "canary.tokens: "]),
        ("detectors: {stalledStream: {mode: Off}}", ["detectors.stalledStream.mode: "]),
        ("mode: [", ["no YAML"]),
    ],
)
def test_a_bad_policy_ends_it_with_the_path_of_each_error(host: Host, policy: str, paths: list[str]) -> None:
    watchdog = host.run(policy=policy)
    assert watchdog.process.wait(timeout=30) == 2
    assert all(path in watchdog.log for path in paths)
    assert "Traceback" not in watchdog.log


def test_an_address_whose_connections_cannot_be_told_apart_counts_as_busy(host: Host) -> None:
    host.start_engine(address="::1")
    watchdog = host.run("--host", "::1")
    until("in rotation", watchdog.serves)
    status = watchdog.status()
    assert "cannot be read" in status["sockets"]
    assert status["inFlight"] is None
    assert status["verdict"]["state"] == "Healthy"
