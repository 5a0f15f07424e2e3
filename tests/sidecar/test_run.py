"""The watchdog as it is started: supervisor, child, an engine that hangs; a container that restarts on code 88."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from llm_watchdog.api import names
from llm_watchdog.crash_points import ENV_CRASH_AT, MARKER
from llm_watchdog.journal import Journal
from llm_watchdog.supervisor import ENV_JOURNAL_DIR

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
IMPATIENT = {
    "canary": {"interval": "300ms", "timeout": "4s"},
    "detectors": {"stalledStream": {"firstTokenDeadline": "1s", "restartDeadline": "3s"}},
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(what: str, holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 40
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


class Pod:
    """Two containers, and what the kubelet does to them."""

    def __init__(self, directory: Path, stack: ExitStack, method: str, watchdog: dict[str, Any]) -> None:
        self.directory = directory
        self.stack = stack
        self.port, self.own_port = free_port(), free_port()
        self.environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'sidecar'}:{ROOT}", ENV_JOURNAL_DIR: str(directory)}
        (directory / names.POD_INFO_RESTART_METHOD).write_text(method)
        document = {"engine": {"type": "vllm", "port": self.port}, "watchdog": watchdog}
        (directory / "policy.json").write_text(json.dumps(document))

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        log = self.stack.enter_context((self.directory / "log").open("ab"))
        process = subprocess.Popen(command, env={**self.environment, **environment}, stdout=log, stderr=log)
        self.stack.callback(self.end, process)
        return process

    @staticmethod
    def end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait(timeout=20)

    def start_engine(self) -> tuple[subprocess.Popen[bytes], int]:
        """Its process, and that of its engine core."""
        engine = self.start(sys.executable, "-m", "e2e.fault_engine", "--port", str(self.port))
        children = Path(f"/proc/{engine.pid}/task/{engine.pid}/children")
        core = int(until("an engine core", lambda: children.read_text().split())[0])
        self.stack.callback(_continue, core)
        return engine, core

    def start_watchdog(self, *supervisor: str, **environment: str) -> subprocess.Popen[bytes]:
        places = {
            "--port": self.own_port,
            "--orders-dir": self.directory,
            "--policy": self.directory / "policy.json",
            "--pod-info-dir": self.directory,
        }
        options = [str(part) for pair in places.items() for part in pair]
        run = [sys.executable, "-m", "llm_watchdog", "sidecar", "--recorder", "local", *options]
        first = supervisor or ("-m", "llm_watchdog.supervisor")
        return self.start(sys.executable, *first, *run, **environment)

    def get(self, path: str) -> httpx.Response | None:
        try:
            return httpx.get(f"http://127.0.0.1:{self.own_port}{path}", trust_env=False)
        except httpx.TransportError:
            return None

    def serves(self) -> bool:
        return (answer := self.get("/readyz")) is not None and answer.status_code == 200


def _continue(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


def test_a_hang_ends_the_container_with_88_once_and_the_next_one_proves_the_engine(tmp_path: Path) -> None:
    """With the process killed between the journalled order and its handing over; `test_loop` has all the points."""
    with ExitStack() as stack:
        pod = Pod(tmp_path, stack, "AllContainers", IMPATIENT)
        engine, core = pod.start_engine()
        watchdog = pod.start_watchdog(**{ENV_CRASH_AT: "journalled:Ordered"})
        until("in rotation", pod.serves)
        os.kill(core, signal.SIGSTOP)
        until("out of rotation", lambda: not pod.serves())
        assert watchdog.wait(timeout=60) == names.RESTART_EXIT_CODE
        assert (tmp_path / MARKER).read_text() == "journalled:Ordered"
        engine.kill()
        os.kill(core, signal.SIGKILL)
        engine.wait()
        again = pod.start_watchdog()
        until("an answer", lambda: pod.get("/readyz"))
        assert not pod.serves(), "in rotation before the new engine was there"
        pod.start_engine()
        until("in rotation again", pod.serves)
        assert again.poll() is None
    assert Journal(tmp_path).replay().replica.last_restart_at is not None
    honoured = (tmp_path / "restarts-honoured").read_text().splitlines()
    assert len(honoured) == 1


SOON = (
    "import sys; from llm_watchdog import supervisor;"
    "supervisor.SILENCE_SECONDS = 8; supervisor.TICK_SECONDS = 1; sys.exit(supervisor.main())"
)
"""A beat comes every 5 s."""


def test_a_watchdog_that_stands_still_is_started_again_and_the_engine_serves_on(tmp_path: Path) -> None:
    with ExitStack() as stack:
        pod = Pod(tmp_path, stack, "AllContainers", {})
        engine, _ = pod.start_engine()
        watchdog = pod.start_watchdog("-c", SOON)
        children = Path(f"/proc/{watchdog.pid}/task/{watchdog.pid}/children")
        until("in rotation", pod.serves)
        stands_still = children.read_text()
        os.kill(int(stands_still), signal.SIGSTOP)
        until("another process", lambda: children.read_text().strip() and children.read_text() != stands_still)
        until("in rotation again", pod.serves)
        assert (engine.poll(), watchdog.poll()) == (None, None)
    assert Journal(tmp_path).replay().replica.cases == []


def test_the_endpoints_and_a_policy_that_goes_bad(tmp_path: Path) -> None:
    with ExitStack() as stack:
        pod = Pod(tmp_path, stack, "LivenessProbe", {})
        pod.start_engine()
        pod.start_watchdog()
        until("in rotation", pod.serves)
        answers = {path: pod.get(path) for path in ("/livez", "/readyz", "/metrics", "/status", "/nothing")}
        codes = {path: answer.status_code for path, answer in answers.items() if answer is not None}
        assert codes == {"/livez": 200, "/readyz": 200, "/metrics": 200, "/status": 200, "/nothing": 404}
        (tmp_path / "policy.json").write_text('{"engine": {"type": "abacus"}}')
        until("the problem", lambda: (a := pod.get("/status")) is not None and "abacus" in a.json()["policyProblem"])
        assert pod.serves(), "the last good policy stays in force"
        drained = httpx.post(f"http://127.0.0.1:{pod.own_port}/drain", timeout=20, trust_env=False)
        assert "no request in flight" in drained.text
        assert not pod.serves()


@pytest.mark.parametrize("arguments", [["--help"], ["sidecar", "--help"]])
def test_help(arguments: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "sidecar")}
    shown = subprocess.run(
        [sys.executable, "-m", "llm_watchdog", *arguments], env=environment, capture_output=True, text=True, check=True
    )
    assert "usage: llm-watchdog" in shown.stdout


@pytest.mark.parametrize("policy", ["", "{}", '{"engine": {"type": "abacus"}}'])
def test_a_first_policy_that_is_bad_is_said_in_one_line(tmp_path: Path, policy: str) -> None:
    (tmp_path / "policy.json").write_text(policy)
    places = ["--policy", str(tmp_path / "policy.json"), "--journal-dir", str(tmp_path)]
    options = ["sidecar", "--recorder", "local", *places]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "sidecar")}
    ended = subprocess.run(
        [sys.executable, "-m", "llm_watchdog", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "policy.json" in json.loads(ended.stdout.splitlines()[-1])["message"]
    assert "Traceback" not in ended.stdout + ended.stderr
