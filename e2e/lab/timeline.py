"""From watched objects to the times that matter: out of rotation, restarted, recovered. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2e.lab.watching import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Seconds since the fault was caused; None = did not happen while we looked."""

    out_of_rotation: float | None = None
    restarted: float | None = None
    recovered: float | None = None

    def row(self) -> list[str]:
        return [
            f"{t:.1f} s" if t is not None else "never" for t in (self.out_of_rotation, self.restarted, self.recovered)
        ]


def ready_pods(endpoint_slice: dict[str, Any]) -> set[str]:
    """Names of the pods that a Service sends new connections to."""
    endpoints = endpoint_slice.get("endpoints") or []
    return {e["targetRef"]["name"] for e in endpoints if e.get("conditions", {}).get("ready") and "targetRef" in e}


def condition(obj: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """A condition of an object by type."""
    found = [c for c in obj.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else None


def in_rotation(pod: dict[str, Any]) -> bool:
    gate = condition(pod, names.ROTATION_GATE)
    return gate is not None and gate["status"] == "True"


def serving(pod: dict[str, Any]) -> bool:
    """In rotation, and Ready: the kubelet follows the gate a moment later."""
    ready = condition(pod, "Ready")
    return in_rotation(pod) and ready is not None and ready["status"] == "True"


def engine_status(pod: dict[str, Any]) -> dict[str, Any]:
    """The engine container's status, empty before it exists."""
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return next((s for s in statuses if s["name"] == names.ENGINE_CONTAINER), {})


def engine_id(pod: dict[str, Any]) -> str | None:
    """The id of the running engine container."""
    status = engine_status(pod)
    return status.get("containerID") if "running" in status.get("state", {}) else None


def restarts(pod: dict[str, Any]) -> int:
    """How often the engine container was started anew."""
    return int(engine_status(pod)["restartCount"])


def gated_for(states: Iterable[dict[str, Any]]) -> float:
    """Seconds from the start of the engine, which runs in all of these states of its pod, until the gate is open.

    Both instants are whole seconds, cut off, so at least as many whole seconds lie between them as in truth.
    Raises StopIteration where it is open in none of them.
    """
    opened = next(state for state in states if in_rotation(state))
    began = engine_status(opened)["state"]["running"]["startedAt"]
    gate = condition(opened, names.ROTATION_GATE) or {}
    return (datetime.fromisoformat(gate["lastTransitionTime"]) - datetime.fromisoformat(began)).total_seconds()


def states_of(pod_name: str, since: float, pods: Iterable[Seen]) -> list[dict[str, Any]]:
    """Every state of one pod that was seen after `since` (wall clock)."""
    return [seen.object for seen in pods if seen.at > since and seen.object["metadata"]["name"] == pod_name]


def _restarted(pod_name: str, fault_at: float, pods: Iterable[Seen]) -> float | None:
    before = None
    for seen in pods:
        identity = engine_id(seen.object) if seen.object["metadata"]["name"] == pod_name else None
        if identity is None:
            continue
        if seen.at <= fault_at:
            before = identity
        elif before and identity != before:
            return seen.at - fault_at
    return None


def timeline(pod_name: str, fault_at: float, pods: Iterable[Seen], slices: Iterable[Seen]) -> Timeline:
    """Read off both watch streams what happened to one pod after `fault_at` (wall clock)."""
    left, back = None, None
    its_own: set[str] = set()
    for seen in slices:
        name, ready = seen.object["metadata"]["name"], pod_name in ready_pods(seen.object)
        if ready:
            its_own.add(name)
        if seen.at <= fault_at or name not in its_own:
            continue
        if left is None and not ready:
            left = seen.at - fault_at
        elif left is not None and back is None and ready:
            back = seen.at - fault_at
    return Timeline(out_of_rotation=left, restarted=_restarted(pod_name, fault_at, pods), recovered=back)
