"""`python -m benchmarks.remediation.observer`: stamps the watch of all incidents, and does nothing else.

A process of its own, so that a busy benchmark does not make the operator look slow. Both the request and the grant are
stamped here, by one clock.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from benchmarks.remediation.client import Admin
from benchmarks.remediation.watched import WatchBrokenError
from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH: Final = f"/apis/{names.API_VERSION}/{names.INCIDENT_PLURAL}"
READY: Final = "watching"
WATCH_SECONDS: Final = 7200


def _get(connection: http.client.HTTPSConnection, path: str) -> http.client.HTTPResponse:
    connection.request("GET", path, headers={"Accept": "application/json"})
    response = connection.getresponse()
    if response.status != http.client.OK:
        raise WatchBrokenError(f"{path}: {response.status} {response.read()[:200]!r}")
    return response


def _line(response: http.client.HTTPResponse) -> bytes:
    """Half a line, or nothing, at its end; what was cut comes again with the next watch."""
    try:
        return response.readline()
    except http.client.IncompleteRead:
        return b""


def observe(admin: Admin, out: Path) -> None:
    """From now on, line by line, until ended. Raises WatchBrokenError.

    A busy server cuts watches. The next one goes on with the version of the last line, so that nothing is missing.
    """
    address = urlsplit(admin.server)
    context = admin.identity()

    def connection() -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(str(address.hostname), address.port, context=context)

    listed: dict[str, Any] = json.loads(_get(connection(), f"{PATH}?limit=1").read())
    version = listed["metadata"]["resourceVersion"]
    with out.open("wb", buffering=0) as file:
        print(READY, flush=True)
        while True:
            response = _get(connection(), f"{PATH}?watch=true&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}")
            last = b""
            while (line := _line(response)).endswith(b"\n"):
                last = line
                file.write(b"%.6f " % time.monotonic() + line)
            print("the watch was cut; it goes on", file=sys.stderr)
            version = json.loads(last)["object"]["metadata"]["resourceVersion"] if last else version


class Observer:
    """The process, from the side of the benchmark."""

    def __init__(self, process: subprocess.Popen[str], out: Path) -> None:
        self._process = process
        self._out = out

    def changes(self) -> int:
        """So far. Raises WatchBrokenError if it is not complete."""
        if self._process.poll() is not None:
            raise WatchBrokenError(f"the observer ended with {self._process.returncode}")
        return self._out.read_bytes().count(b"\n")

    def lines(self) -> list[str]:
        """The record. Raises WatchBrokenError if it is not complete."""
        self.changes()
        return [line for line in self._out.read_text().splitlines(keepends=True) if line.endswith("\n")]


@contextmanager
def observing(kubeconfig: Path, out: Path) -> Iterator[Observer]:
    """Nothing that comes after this returns is missing."""
    argv = [sys.executable, "-m", "benchmarks.remediation.observer", str(kubeconfig), str(out)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            if process.stdout.readline().strip() != READY:
                raise WatchBrokenError("the observer did not start")
            yield Observer(process, out)
        finally:
            process.terminate()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remediation.observer", description=__doc__)
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("out", type=Path)
    said = parser.parse_args()
    observe(Admin.of(said.kubeconfig), said.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
