"""Every state that the incidents of a namespace were ever in, as the API server's own history tells it."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.operator.live.api import Api

State = tuple[str, dict[str, Any]]
"""`ADDED`, `MODIFIED` or `DELETED`, and the incident."""


def history(api: Api, namespace: str, since: str) -> list[State]:
    """All of them in order; `since` is a resourceVersion from before the first."""
    events = api.replay("llmincidents", namespace, since)
    return [(event["type"], event["object"]) for event in events]


def check_budget(states: Sequence[State], allowed: int) -> None:
    """Replicas that have a grant, or whose restart was begun, and whose incident is not closed."""
    newest: dict[str, dict[str, Any]] = {}
    for _, incident in states:
        newest[incident["metadata"]["name"]] = incident
        busy = {held["spec"]["podRef"]["name"] for held in newest.values() if _takes_capacity(held.get("status") or {})}
        assert len(busy) <= allowed, f"{sorted(busy)} at once: {json.dumps(newest)}"


def _takes_capacity(status: dict[str, Any]) -> bool:
    begun = "Restart" in [step["step"] for step in status.get("steps", ())]
    return status.get("phase") != "Closed" and (begun or bool(status.get("grant")))


def check_records(states: Sequence[State], pods: Sequence[str]) -> None:
    """One incident for each pod, created once, never removed; what it says of its steps is never taken back."""
    assert sorted(incident["spec"]["podRef"]["name"] for kind, incident in states if kind == "ADDED") == sorted(pods)
    assert {kind for kind, _ in states} == {"ADDED", "MODIFIED"}
    for pod in pods:
        told = list(_steps([incident for _, incident in states if incident["spec"]["podRef"]["name"] == pod]))
        for earlier, later in itertools.pairwise(told):
            assert later[: len(earlier)] == earlier, f"{pod}: first {earlier}, then {later}"
        assert [step for step, _ in told[-1]] == ["Drain", "Restart"]


def _steps(incidents: Sequence[dict[str, Any]]) -> Iterator[list[tuple[str, str]]]:
    for incident in incidents:
        steps = (incident.get("status") or {}).get("steps", ())
        yield [(step["step"], step["startedAt"]) for step in steps]
