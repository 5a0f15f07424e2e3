"""Who answered whom: completions in an engine's own access log, by client address and time."""

from __future__ import annotations

import subprocess
import tempfile
from datetime import datetime
from typing import TYPE_CHECKING, Self

from e2e.lab.access import get
from llm_watchdog.api import names

if TYPE_CHECKING:
    from e2e.lab.access import Access

PATH = "/v1/completions"
ENDED = '"finished"'
PROPAGATION_SECONDS = 1.0
"""After the endpoints have changed, new connections may go the old way for this long: kube-proxy rewrites a node's
rules at most once per second (`minSyncPeriod`), whoever asked for the change."""


class AccessLog:
    """Follows an engine's log from now on: a restart in place removes the old container, and its log with it."""

    def __init__(self, access: Access, namespace: str, pod: str) -> None:
        self._access = access
        self._command = ("-n", namespace, "logs", pod, "-c", names.ENGINE_CONTAINER, "--timestamps")
        self._namespace = namespace
        # Appending: kubectl shares the file's position, which every read of ours moves.
        self._followed = tempfile.TemporaryFile("a+")  # noqa: SIM115 - closed in __exit__
        kubectl = (str(access.kubectl_program), "--kubeconfig", str(access.kubeconfig))
        self._process = subprocess.Popen(
            [*kubectl, *self._command, "--follow"], stdout=self._followed, stderr=subprocess.DEVNULL
        )

    def completions(self, client: str) -> list[float]:
        """Wall-clock seconds at which the engine, or its successor in the pod, took completions of the pod `client`."""
        address = get(self._access, "-n", self._namespace, "pod", client)["status"]["podIP"]
        self._followed.seek(0)
        lines = {*self._followed.read().splitlines(), *self._access.kubectl(*self._command).stdout.splitlines()}
        # The fault engine also logs the end of a request, which comes later where the client had to give up.
        asked = [line for line in lines if PATH in line and address in line and ENDED not in line]
        return sorted(datetime.fromisoformat(line.split()[0]).timestamp() for line in asked)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        self._followed.close()
