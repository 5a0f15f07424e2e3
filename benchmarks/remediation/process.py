"""The operator as a process of its own, on the product's defaults, and what it takes of the machine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from e2e.cluster.apiserver import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX: Final = "LLMWORKER_"
STOP_SECONDS: Final = 30.0
QUIET_SECONDS: Final = 3.0
"""Without a write and with empty queues: it is at rest."""
REST_SECONDS: Final = 900.0
"""Then it never will be."""
TICKS: Final = os.sysconf("SC_CLK_TCK")
MIB: Final = 1024.0
NANO: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Since the process began."""

    cpu_seconds: float
    """Of all threads."""
    starved_seconds: float
    """In which the thread of the event loop could have run and had no core."""
    rss_mib: float
    peak_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """From `/metrics`."""

    writes: int
    granted: int
    failed_passes: int
    unexpected_errors: int
    queued: int
    led: bool
    relists: int


def read_usage(stat: str, status: str, schedstat: str, ticks: int = TICKS) -> Usage:
    """From the files of these names in `/proc/PID`."""
    fields = stat.rpartition(")")[2].split()
    lines = [line.split() for line in status.splitlines()]
    sizes = {line[0]: int(line[1]) for line in lines if line[0] in {"VmRSS:", "VmHWM:"}}
    return Usage(
        cpu_seconds=(int(fields[11]) + int(fields[12])) / ticks,
        starved_seconds=int(schedstat.split()[1]) / NANO,
        rss_mib=sizes["VmRSS:"] / MIB,
        peak_mib=sizes["VmHWM:"] / MIB,
    )


def read_counts(page: str) -> Counts:
    """Sums over all label values but the ones named."""
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]

    def total(name: str, **labels: str) -> int:
        wanted = labels.items()
        return int(
            sum(s.value for s in samples if s.name == f"llmworker_operator_{name}" and wanted <= s.labels.items())
        )

    return Counts(
        writes=total("api_writes_total"),
        granted=total("incident_writes_total", what="granted", detail="Restart"),
        failed_passes=total("reconciles_total", result="failed") + total("reconciles_total", result="unexpected"),
        unexpected_errors=total("unexpected_errors_total"),
        queued=total("queued_keys"),
        led=bool(total("leader")),
        relists=total("relist_seconds_count"),
    )


class OperatorError(RuntimeError):
    """It ended, or does not come to rest; the message has the end of its log."""


class Operator:
    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process = process
        self._port = port
        self._log = log

    def usage(self) -> Usage:
        of = Path(f"/proc/{self._process.pid}")
        return read_usage((of / "stat").read_text(), (of / "status").read_text(), (of / "schedstat").read_text())

    async def counts(self) -> Counts | None:
        """None while it does not answer. Raises OperatorError."""
        if self._process.poll() is not None:
            raise OperatorError(self._log.read_text()[-2000:])
        try:
            async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
                return read_counts((await client.get(f"http://127.0.0.1:{self._port}/metrics")).text)
        except httpx.HTTPError:
            return None

    async def seconds_to_first_relist(self) -> float:
        """From the lease: what a start costs with all that is there. Nothing is granted before."""
        led: float | None = None
        while True:
            counts = await self.counts()
            if counts and counts.led and led is None:
                led = time.monotonic()
            if counts and counts.relists and led is not None:
                return time.monotonic() - led
            await asyncio.sleep(0.2)

    async def at_rest(self) -> Counts:
        """When it has written nothing for a while and nothing waits for it. Raises OperatorError."""
        before, since = await self.counts(), time.monotonic()
        end = since + REST_SECONDS
        while time.monotonic() < end:
            await asyncio.sleep(0.5)
            now = await self.counts()
            if now is None or before is None or now.writes != before.writes or now.queued:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > QUIET_SECONDS:
                return now
        raise OperatorError(f"not at rest after {REST_SECONDS:.0f} s: {self._log.read_text()[-2000:]}")


@contextmanager
def operator(kubeconfig: Path, log: Path) -> Iterator[Operator]:
    """Started, not waited for; ended in good order, so that it gives its lease back."""
    (port,) = free_ports(1)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(PREFIX)},
        f"{PREFIX}WATCHDOG_IMAGE": "watchdog:1",
        f"{PREFIX}HTTP_HOST": "127.0.0.1",
        f"{PREFIX}HTTP_PORT": str(port),
        "KUBECONFIG": str(kubeconfig),
    }
    argv = [sys.executable, "-m", "llmworker_operator"]
    with log.open("ab") as output, subprocess.Popen(argv, env=environment, stdout=output, stderr=output) as process:
        try:
            yield Operator(process, port, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
