"""The operator as a process of its own beside the cluster, with the rights that the manifests give it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from e2e.cluster.apiserver import free_ports
from e2e.lab.access import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.lab.access import Access

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

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

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
            lambda: self.process.poll() is not None or "leads" in self.messages(),
            timeout=30,
            every=0.05,
        )
        assert self.process.poll() is None, self.log()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=20)


def operators_kubeconfig(access: Access, folder: Path) -> Path:
    """A token of its ServiceAccount, no administrator's certificate."""
    token = access.token_for(ACCOUNT, namespace=NAMESPACE)
    config = yaml.safe_load(access.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def operator(kubeconfig: Path, log: Path, **settings: str) -> Iterator[Operator]:
    """Started, not waited for."""
    (port,) = free_ports(1)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("LLMWORKER_")},
        **QUICK,
        "LLMWORKER_HTTP_PORT": str(port),
        "KUBECONFIG": str(kubeconfig),
        **{f"LLMWORKER_{key.upper()}": value for key, value in settings.items()},
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "llmworker_operator"], env=environment, stdout=output, stderr=output
        )
    try:
        yield Operator(process, port, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
