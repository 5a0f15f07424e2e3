"""A host with a model server (the fault engine) and `llm-watchdog run` beside it, as real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 60
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'sidecar'}:{ROOT}"}
KEYS = ["time", "incident", "fault", "reason", "phase", "outcome", "message", "step", "stepOutcome"]

IMPATIENT = """
canary: {interval: 300ms, timeout: 4s}
detectors:
  stalledStream: {firstTokenDeadline: 1s, restartDeadline: 3s, busyDeadline: 1s, busyRestartDeadline: 4s}
checks: {interval: 0s, fingerprint: Disabled, cache: Disabled, crossTalk: Disabled, slots: Disabled}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(what: str, holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "llm_watchdog", *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


class Watchdog:
    """One process of `llm-watchdog run`."""

    def __init__(self, folder: Path, arguments: list[str], environment: dict[str, str]) -> None:
        self.own_port = free_port()
        self._out, self._log = folder / f"out-{self.own_port}", folder / f"log-{self.own_port}"
        line = [sys.executable, "-m", "llm_watchdog", "run", "--listen", f"127.0.0.1:{self.own_port}", *arguments]
        with self._out.open("w") as out, self._log.open("w") as log:
            self.process = subprocess.Popen(line, env={**ENVIRONMENT, **environment}, stdout=out, stderr=log)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All of standard output: whatever is no JSON object with exactly the keys fails here."""
        *told, rest = self._out.read_text().split("\n")
        assert not rest or self.process.poll() is None
        lines = [json.loads(line) for line in told]
        assert all(list(line) == KEYS for line in lines)
        return lines

    @property
    def log(self) -> str:
        return self._log.read_text()

    def told(self, **fields: Any) -> dict[str, Any]:
        """Wait for a line with these fields."""

        def find() -> dict[str, Any] | None:
            assert self.process.poll() is None or self.lines, self.log
            return next((line for line in self.lines if fields.items() <= line.items()), None)

        found: dict[str, Any] = until(f"a line with {fields}", find)
        return found

    def get(self, path: str) -> httpx.Response | None:
        assert self.process.poll() is None, self.log
        try:
            return httpx.get(f"http://127.0.0.1:{self.own_port}{path}", trust_env=False, timeout=10)
        except httpx.TransportError:
            return None

    def status(self) -> Any:
        return until("a status", lambda: self.get("/status")).json()

    def serves(self) -> bool:
        return (answer := self.get("/readyz")) is not None and answer.status_code == 200

    def waits(self) -> bool:
        return (answer := self.get("/readyz")) is not None and answer.status_code == 503

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=DEADLINE_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Host:
    """Everything that it started ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.journal = folder / "journal"
        self.restarts = folder / "restarts"
        self._pid = folder / "engine.pid"
        self._log = folder / "engine.log"
        self._watchdogs: list[Watchdog] = []
        self._script = folder / "restart.sh"
        self._control_port = free_port()
        (folder / "policy.yaml").write_text(IMPATIENT)

    @property
    def restart_command(self) -> str:
        return f"sh {self._script}"

    @property
    def ran(self) -> int:
        """How often the restart command has run."""
        return len(self.restarts.read_text().splitlines()) if self.restarts.exists() else 0

    def start_engine(self, *options: str, address: str = "127.0.0.1", **environment: str) -> None:
        """The restart command starts it in the same way again, on the loopback address."""
        ports = f"--host ${{1:-127.0.0.1}} --port {self.port} --control-port {self._control_port}"
        variables = {"PYTHONPATH": str(ROOT), **environment}
        self._script.write_text(
            f"echo run >> {self.restarts}\n"
            f"[ -e {self._pid} ] && kill -9 -$(cat {self._pid})\n"
            f"{' '.join(f'{name}={value}' for name, value in variables.items())} setsid "
            f"{sys.executable} -m e2e.fault_engine {ports} {' '.join(options)} "
            f"> {self._log} 2>&1 < /dev/null &\n"
            f"echo $! > {self._pid}\n"
        )
        subprocess.run(f"{self.restart_command} {address}", shell=True, check=True, timeout=DEADLINE_SECONDS)  # noqa: S602
        self.restarts.unlink()

    def order(self, fault: str) -> None:
        """Of the fault engine's catalogue, from now on."""
        faults = f"http://127.0.0.1:{self._control_port}/faults"
        httpx.put(faults, json={"name": fault}, trust_env=False, timeout=DEADLINE_SECONDS).raise_for_status()

    def engine_events(self, kind: str) -> list[dict[str, Any]]:
        """Of the engine's log, where a line that it has not finished is none yet."""
        told = [json.loads(line) for line in self._log.read_text().split("\n")[:-1] if line.startswith("{")]
        return [event for event in told if event["event"] == kind]

    def engine_answers(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}/health", trust_env=False, timeout=10).is_success
        return False

    def hang(self, number: signal.Signals = signal.SIGSTOP) -> None:
        """Its core: the web server goes on answering."""
        group = int(self._pid.read_text())
        for core in Path(f"/proc/{group}/task/{group}/children").read_text().split():
            os.kill(int(core), number)

    def run(self, *arguments: str, policy: str = IMPATIENT, **environment: str) -> Watchdog:
        file = self.folder / "policy.yaml"
        file.write_text(policy)
        places = ["--port", str(self.port), "--journal", str(self.journal), "--policy", str(file)]
        self._watchdogs.append(Watchdog(self.folder, [*places, *arguments], environment))
        return self._watchdogs[-1]

    def close(self) -> None:
        for watchdog in self._watchdogs:
            watchdog.kill()
        if self._pid.exists():
            with suppress(ProcessLookupError):
                os.killpg(int(self._pid.read_text()), signal.SIGKILL)
