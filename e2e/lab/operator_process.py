"""The operator as a process of its own beside the cluster, with the rights that the manifests give it."""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import yaml

import llmworker_operator.__main__
from e2e.cluster.apiserver import free_ports
from e2e.lab.access import wait_for
from e2e.lab.forks import fork, load_beforehand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from e2e.lab.access import Access

load_beforehand(__name__)

NAMESPACE = "llmworker-system"
ACCOUNT = "llmworker-operator"

QUICK = {
    "LLMWORKER_BACKOFF_SECONDS": "0.2",
    "LLMWORKER_BACKOFF_MAX_SECONDS": "1",
    "LLMWORKER_LEASE_DURATION_SECONDS": "4",
    "LLMWORKER_LEASE_RENEW_DEADLINE_SECONDS": "2.5",
    "LLMWORKER_LEASE_RETRY_SECONDS": "0.3",
    "LLMWORKER_WATCHDOG_IMAGE": "watchdog:1",
    "LLMWORKER_HTTP_HOST": "127.0.0.1",
}


class Operator:
    """Its log goes to a file, one JSON record per line."""

    def __init__(self, process: BaseProcess, port: int, log: Path) -> None:
        self.port = port
        self._process = process
        self._log = log

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def wait(self, seconds: float) -> int | None:
        """Its exit status, negative for a signal; None while it lives on after so many seconds."""
        self._process.join(seconds)
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def messages(self) -> list[str]:
        return [record["message"] for record in self.records()]

    def log(self) -> str:
        return self._log.read_text()

    def ask(self, path: str) -> httpx.Response | None:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=2)
        except httpx.HTTPError:
            return None

    def wait_until_it_leads(self) -> None:
        wait_for(
            "the operator to lead",
            lambda: not self.alive or "leads" in self.messages(),
            timeout=30,
            every=0.05,
        )
        assert self.alive, self.log()

    def stop(self) -> int | None:
        self.send(signal.SIGTERM)
        return self.wait(20)

    def kill(self) -> None:
        """Where it still lives."""
        self._process.kill()
        self._process.join()


def operators_kubeconfig(access: Access, folder: Path) -> Path:
    """A token of its ServiceAccount, no administrator's certificate."""
    token = access.token_for(ACCOUNT, namespace=NAMESPACE)
    config = yaml.safe_load(access.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def start(kubeconfig: Path, log: Path, **settings: str) -> Operator:
    """Not waited for; `settings` as in the environment, without the prefix."""
    (port,) = free_ports(1)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("LLMWORKER_")},
        **QUICK,
        "LLMWORKER_HTTP_PORT": str(port),
        "KUBECONFIG": str(kubeconfig),
        **{f"LLMWORKER_{key.upper()}": value for key, value in settings.items()},
    }
    log.touch()
    return Operator(fork(log, llmworker_operator.__main__.main, environment=environment), port, log)


@contextmanager
def operator(kubeconfig: Path, log: Path, **settings: str) -> Iterator[Operator]:
    """Started, not waited for; ended at the end."""
    started = start(kubeconfig, log, **settings)
    try:
        yield started
    finally:
        started.kill()
