"""`llm-watchdog run` and `check` beside a system, as somebody without Kubernetes uses them.

Knows the commands' contract (options, JSON lines, exit codes, `/readyz`), nothing of what is inside.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from prometheus_client.parser import text_string_to_metric_families

from e2e.systems.programs import LOOPBACK, Program, free_port
from e2e.systems.talking import answers, get, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

READY_SECONDS: Final = 180
"""For the start-up checks, on a machine that does other work too."""
FOUND_SECONDS: Final = 300
"""For detection, and for the restart and its proof, at default settings: slots are judged over a minute, and twice."""
CHECK_SECONDS: Final = 60
"""For a `check` in the tests; it promises 20 s on a healthy server on a machine of its own."""
CHECKS_MADE: Final = "llm_watchdog_checks_total"
ASK: Final = "import sys, urllib.request; urllib.request.urlopen(urllib.request.Request(sys.argv[1], method='POST'))"


class Supervisor:
    """What a restart command speaks to: restarts the system that this process has started, and counts it."""

    def __init__(self, restart: Callable[[], None]) -> None:
        self.restarts = 0
        self._restart = restart
        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def command(self) -> str:
        url = f"http://{LOOPBACK}:{self._server.server_address[1]}/"
        return f'"{sys.executable}" -c "{ASK}" {url}'

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        supervisor = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                supervisor.restarts += 1
                supervisor._restart()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How the watchdog is told what it stands beside. Keys of `options` are those of the command line."""

    port: int
    engine: str
    options: Mapping[str, str] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    """Of `run`: what differs from the defaults of `spec.watchdog`."""

    def arguments(self) -> list[str]:
        given = {"engine": self.engine, **self.options}
        return [f"--{name}={value}" for name, value in given.items()]


class Watchdog:
    """`llm-watchdog run`, from `with` to its end."""

    def __init__(self, watched: Watched, folder: Path, supervisor: Supervisor | None = None) -> None:
        listen = free_port()
        self.url = f"http://{LOOPBACK}:{listen}"
        command = [sys.executable, "-m", "llm_watchdog", "run", f"--port={watched.port}", *watched.arguments()]
        command += [f"--journal={folder / 'journal'}", f"--listen={LOOPBACK}:{listen}"]
        if watched.policy:
            policy = folder / "policy.yaml"
            policy.write_text(json.dumps(watched.policy))
            command.append(f"--policy={policy}")
        if supervisor is not None:
            command.append(f"--restart-command={supervisor.command}")
        self._out = folder / "watchdog.out"
        self.program = Program("watchdog", command, folder, out=self._out)

    def lines(self) -> list[dict[str, Any]]:
        """What it has written so far; a line that is not JSON is an error of the watchdog's."""
        return [json.loads(line) for line in self._out.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def faults(self) -> set[str]:
        """Of all incidents so far."""
        return {line["fault"] for line in self.lines()}

    def wait_detected(self, seconds: float = FOUND_SECONDS) -> dict[str, Any]:
        """The first line of the first incident."""
        self._wait("an incident", lambda: bool(self.lines()), seconds)
        return self.lines()[0]

    def wait_closed(self, seconds: float = FOUND_SECONDS) -> dict[str, Any]:
        """The last line of the first incident."""
        self._wait("the end of an incident", lambda: any(map(_closes, self.lines())), seconds)
        return next(filter(_closes, self.lines()))

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        self._wait("rotation", self.is_ready, seconds)

    def _wait(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        try:
            wait_for(what, holds, seconds)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{json.dumps(self.status().get('verdict'))}\n{self.program.log_tail()}"
            ) from None

    def rounds(self, kind: str) -> float:
        """Active checks of that kind that were made."""
        page = get(f"{self.url}/metrics").body.decode()
        samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
        return sum(s.value for s in samples if s.name == CHECKS_MADE and s.labels["kind"] == kind)

    def is_ready(self) -> bool:
        return answers(f"{self.url}/readyz")

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = get(f"{self.url}/status").json()
        return status

    def __enter__(self) -> Self:
        self.program.start()
        self.program.wait_up(lambda: answers(f"{self.url}/livez"), READY_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.program.stop()


def _closes(line: dict[str, Any]) -> bool:
    closes: bool = line["phase"] == "Closed"
    return closes


@dataclass(frozen=True, slots=True)
class Checked:
    code: int
    table: str


def check(watched: Watched) -> Checked:
    """`llm-watchdog check`: one round."""
    options = [argument for argument in watched.arguments() if not argument.startswith(("--concurrency", "--probe"))]
    command = [sys.executable, "-m", "llm_watchdog", "check", f"http://{LOOPBACK}:{watched.port}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)
    return Checked(done.returncode, done.stdout + done.stderr)
