"""Quarantine on a real API server: one pod is kept aside, the next one is held, and a release gives it back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.live.api import Api, condition, until
from tests.operator.live.fleet import Fleet, stamp

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("running", "nodes")]


def quarantine(fleet: Fleet, pod: str, name: str) -> None:
    """As its watchdog ends the ladder: the record, then the gate."""
    fleet.incident(pod, name, phase="Closed", outcome="Quarantined", closedAt=stamp())
    fleet.out(pod, "Quarantined")


def label(api: Api, namespace: str, pod: str) -> str:
    found = api.get("pods", namespace, pod)
    return str(found["metadata"]["labels"]["llmworker.dev/worker"]) if found else ""


def release(api: Api, namespace: str, pod: str) -> None:
    api.patch("pods", namespace, pod, {"metadata": {"annotations": {"llmworker.dev/release": "new card"}}})


def degraded(fleet: Fleet) -> str:
    return str((condition(fleet.worker(), "Degraded") or {}).get("message", ""))


def test_one_is_kept_aside_the_next_is_held_and_a_release_makes_room(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace, remediation={"quarantine": "Detach"})
    quarantine(fleet, "qwen-x-0", "one")
    until(lambda: label(api, namespace, "qwen-x-0") == "qwen.detached")
    until(lambda: degraded(fleet) == "1 detached and kept for a person (qwen-x-0)")
    assert fleet.worker()["status"]["replicas"] == 2
    pod: dict[str, Any] = api.get("pods", namespace, "qwen-x-0") or {}
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("LLMWorker", fleet.worker()["metadata"]["uid"])
    quarantine(fleet, "qwen-x-1", "two")
    until(lambda: "1 in quarantine (qwen-x-1); 1 detached" in degraded(fleet))
    assert label(api, namespace, "qwen-x-1") == "qwen"
    release(api, namespace, "qwen-x-0")
    until(lambda: fleet.stopping("qwen-x-0"))
    fleet.gone("qwen-x-0")
    until(lambda: label(api, namespace, "qwen-x-1") == "qwen.detached")


def test_hold_is_the_default_and_a_release_is_the_watchdogs_to_see(api: Api, namespace: str) -> None:
    fleet = Fleet(api, namespace)
    quarantine(fleet, "qwen-x-0", "one")
    until(lambda: "1 in quarantine (qwen-x-0)" in degraded(fleet))
    release(api, namespace, "qwen-x-0")
    fleet.out("qwen-x-1")
    until(lambda: fleet.worker()["status"]["readyReplicas"] == 1)
    assert label(api, namespace, "qwen-x-0") == "qwen"
    assert not fleet.stopping("qwen-x-0")
