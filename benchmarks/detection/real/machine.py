"""A fault engine as processes, which plays what the simulated container plays; and what a process takes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.request import Request, urlopen

from benchmarks.detection.real.sockets import SocketNetwork
from benchmarks.detection.simulation.story import settings_of
from e2e.systems.programs import LOOPBACK, Program, free_port

if TYPE_CHECKING:
    from benchmarks.detection.cases import Case

CHECKOUT: Final = Path(__file__).parents[3]
ANSWER_SECONDS: Final = 20.0
KIBIBYTE: Final = 1024


class RealMachine:
    """A `Container`."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.port, self._control = free_port(), free_port()
        self.network = SocketNetwork(self.port)
        self.woken_at: float | None = None
        self._case = case
        self._folder = folder
        self._program = self._of(case.startup_seconds)

    def start(self) -> None:
        self._program.start()

    def restart(self) -> None:
        """Healthy, on the same port."""
        self._program.kill()
        self._program = self._of(self._case.startup_seconds)
        self._program.start()

    def stop(self) -> None:
        self._program.kill()

    def order(self, name: str, argument: str | None, incidence: float | None = None) -> None:
        body = json.dumps({"name": name, "arg": argument, "incidence": incidence}).encode()
        asked = Request(f"http://{LOOPBACK}:{self._control}/faults", data=body, method="PUT")
        urlopen(asked, timeout=ANSWER_SECONDS).close()  # noqa: S310 - loopback

    def load_again(self, name: str, argument: str | None) -> None:
        self._program.kill()
        self._program = self._of(self._case.startup_seconds, f"--fault={name}={argument}")
        self._program.start()

    def _of(self, startup_seconds: float, *more: str) -> Program:
        settings = settings_of(self._case)
        limits = settings.limits
        command = [
            *(sys.executable, "-m", "e2e.fault_engine", f"--dialect={settings.dialect}", f"--host={LOOPBACK}"),
            *(f"--port={self.port}", f"--control-port={self._control}", f"--startup-seconds={startup_seconds}"),
            *(f"--max-num-seqs={limits.max_num_seqs}", f"--token-seconds={limits.token_seconds}"),
            *(f"--prefill-token-seconds={limits.prefill_token_seconds}", f"--model-kind={settings.model_kind.value}"),
            *(f"--logprob-noise={limits.noise}", *more),
        ]
        environment = {"PYTHONPATH": str(CHECKOUT), "VLLM_SERVER_DEV_MODE": "1"}
        return Program("engine", command, self._folder, environment)


@dataclass(frozen=True, slots=True)
class Use:
    """Of the machine, by one process and the children that it waits for."""

    cpu_seconds: float
    rss_mib: float


def use_of(pid: int) -> Use:
    """From /proc. Raises OSError when the process is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return Use(ticks / os.sysconf("SC_CLK_TCK"), int(status["VmRSS"].split()[0]) / KIBIBYTE)
