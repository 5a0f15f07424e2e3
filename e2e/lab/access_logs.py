"""Who answered whom: completions in an engine's own access log, by client address and time."""

from __future__ import annotations

import re
import subprocess
import tempfile
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from e2e.lab.access import get, wait_for
from e2e.lab.timeline import engine_id
from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2e.lab.access import Access

PATH = "/v1/completions"
ENDED = '"finished"'
PROPAGATION_SECONDS = 1.0
"""After the endpoints have changed, new connections may go the old way for this long: kube-proxy rewrites a node's
rules at most once per second (`minSyncPeriod`), whoever asked for the change."""


def taken(lines: Iterable[str], address: str) -> list[float]:
    """When completions of this address were taken, by lines that begin with their time."""
    client = re.compile(rf"(?<![\d.]){re.escape(address)}(?![\d.])")
    # The fault engine also logs the end of a request, which comes later where the client had to give up.
    asked = [line for line in lines if PATH in line and client.search(line) and ENDED not in line]
    return sorted(datetime.fromisoformat(line.split()[0]).timestamp() for line in asked)


class AccessLog:
    """Follows an engine's log from now on: a restart in place removes the old container, and its log with it."""

    def __init__(self, access: Access, namespace: str, pod: str) -> None:
        self._access = access
        self._command = ("-n", namespace, "logs", pod, "-c", names.ENGINE_CONTAINER, "--timestamps")
        self._namespace, self._pod = namespace, pod
        self._engine = self._engine_now()
        # Appending: kubectl shares the file's position, which every read of ours moves.
        self._followed = tempfile.TemporaryFile("a+")  # noqa: SIM115 - closed in __exit__
        kubectl = (str(access.kubectl_program), "--kubeconfig", str(access.kubeconfig))
        self._process = subprocess.Popen(
            [*kubectl, *self._command, "--follow"], stdout=self._followed, stderr=subprocess.DEVNULL
        )

    def completions(self, client: str) -> list[float]:
        """Wall-clock seconds at which the engine, or its successor in the pod, took completions of the pod `client`."""
        if self._process.poll() is not None:
            # Else what the log lacks would prove nothing. The log of the successor is read as a whole.
            wait_for("the end of the engine whose log ended", lambda: self._engine_now() != self._engine, timeout=30)
        address = self._pod_state(client)["status"]["podIP"]
        self._followed.seek(0)
        lines = {*self._followed.read().splitlines(), *self._access.kubectl(*self._command).stdout.splitlines()}
        return taken(lines, address)

    def _pod_state(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = get(self._access, "-n", self._namespace, "pod", name)
        return state

    def _engine_now(self) -> str | None:
        return engine_id(self._pod_state(self._pod))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        self._followed.close()
