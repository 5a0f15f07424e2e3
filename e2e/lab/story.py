"""One line for each thing that happens to a worker, as it happens: what the demo prints and a failing test shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from e2e.lab.timeline import condition, engine_id, ready_pods
from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.lab.watching import Seen


class Story:
    """Keeps the last state of each object and tells what changed. `zero` is wall clock; restart it at the fault."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last: dict[tuple[str, str], object] = {}
        self.zero = time.time()

    def pod(self, seen: Seen) -> None:
        name = seen.object["metadata"]["name"]
        gate = condition(seen.object, names.ROTATION_GATE) or {}
        if gate:
            state = (gate.get("status"), gate.get("reason"))
            text = f"pod {name}: in rotation {gate.get('status')} ({gate.get('reason')}: {gate.get('message', '')})"
            self._changed(seen.at, ("gate", name), state, text)
        identity = engine_id(seen.object)
        if identity:
            text = f"pod {name}: engine container {identity.rpartition('/')[2][:12]} runs"
            self._changed(seen.at, ("engine", name), identity, text)

    def endpoints(self, seen: Seen) -> None:
        ready = sorted(ready_pods(seen.object))
        name = seen.object["metadata"]["name"]
        text = f"service: new connections go to {', '.join(ready) or 'nobody'}"
        self._changed(seen.at, ("slice", name), ready, text)

    def incident(self, seen: Seen) -> None:
        status: dict[str, Any] = seen.object.get("status", {})
        name = seen.object["metadata"]["name"]
        step = (status.get("steps") or [{}])[-1]
        state = (status.get("phase"), status.get("outcome"), step.get("step"), step.get("outcome"))
        rung = f", {step['step']} {step.get('outcome', 'begun')}" if step else ""
        ended = f", {status['outcome']}" if "outcome" in status else ""
        text = f"incident {name}: {status.get('phase', 'Open')}{rung}{ended} - {status.get('message', '')}"
        self._changed(seen.at, ("incident", name), state, text)

    def _changed(self, at: float, key: tuple[str, str], state: object, text: str) -> None:
        if self._last.get(key) != state:
            self._last[key] = state
            self._say(f"{at - self.zero:+7.1f} s  {text}")
