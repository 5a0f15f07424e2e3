"""Sleep and wake: as the worker's owner wishes, or by somebody who calls the engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from llm_watchdog.api import names

if TYPE_CHECKING:
    from e2e.lab.workers import Worker

CALL = "import sys,urllib.request as u; u.urlopen(u.Request(sys.argv[1], sys.argv[2].encode(), {headers}), timeout=30)"
HEADERS = '{"Content-Type": "application/json"}'


def wish(worker: Worker, state: str, level: int = 1) -> None:
    """`kubectl patch`, as a scheduler does it."""
    patch = {"spec": {"power": {"state": state, "level": level}}}
    worker.kubectl("patch", names.WORKER_PLURAL, worker.name, "--type=merge", "-p", json.dumps(patch))


def wait_asleep(worker: Worker, timeout: int = 60) -> None:
    """Until all its replicas say that they sleep; seconds."""
    worker.kubectl("wait", "--for=condition=Sleeping", f"llmworker/{worker.name}", f"--timeout={timeout}s")


def call(worker: Worker, pod: str, path: str, body: object = None) -> None:
    """A POST to the engine itself, from inside of its container."""
    script = CALL.format(headers=HEADERS)
    url, data = f"http://127.0.0.1:8000{path}", "" if body is None else json.dumps(body)
    worker.kubectl("exec", pod, "-c", names.ENGINE_CONTAINER, "--", "python3", "-c", script, url, data)
