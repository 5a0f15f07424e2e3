"""Watch streams of the real API server, each event stamped on arrival."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import TextIOWrapper

    from e2e.lab.access import Access


@dataclass(frozen=True, slots=True)
class Seen:
    """One state of one object. `at` is wall-clock seconds of arrival."""

    at: float
    type: str
    object: dict[str, Any]


class Watch:
    """`kubectl get KIND --watch` as a background reader; keeps every event in order."""

    def __init__(
        self, access: Access, namespace: str, kind: str, on_event: Callable[[Seen], None] | None = None
    ) -> None:
        self.seen: list[Seen] = []
        self._on_event = on_event
        command = [
            *(str(access.kubectl_program), "--kubeconfig", str(access.kubeconfig), "-n", namespace),
            *("get", kind, "-o", "json", "--watch", "--output-watch-events"),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        stream: TextIOWrapper = self._process.stdout  # type: ignore[assignment]
        for line in stream:
            event = json.loads(line)
            seen = Seen(time.time(), event["type"], event["object"])
            self.seen.append(seen)
            if self._on_event:
                self._on_event(seen)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        self._thread.join(timeout=10)
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
