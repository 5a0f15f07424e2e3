"""The switch of the whole cluster on a real API server: thrown, misspelt, over a change of the leader, and ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab.operator_process import NAMESPACE as SYSTEM
from e2e.lab.operator_process import Operator, operator
from llm_watchdog.recorder.worker import modes_of
from tests.operator.live.api import Api, condition, until
from tests.operator.live.fleet import Fleet, make_incident
from tests.operator.live.worker import settled, worker_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("nodes")]

WHY = "a driver kills the nodes"
NAME = "llmworker-pause"
QUICK = {"pause_poll_seconds": "0.2"}


@pytest.fixture
def leads(installed: Path, tmp_path: Path) -> Iterator[Operator]:
    """One of its own: it comes and goes."""
    with operator(installed, tmp_path / "operator.log", **QUICK) as started:
        started.wait_until_it_leads()
        yield started


@pytest.fixture
def switch(api: Api) -> Iterator[Callable[..., None]]:
    """Writes the ConfigMap; without anything to write it is deleted."""

    def exists() -> bool:
        return api.get("configmaps", SYSTEM, NAME) is not None

    def turn(**data: str) -> None:
        if exists():
            api.delete("configmaps", SYSTEM, NAME)
        if data:
            api.create("configmaps", {"metadata": {"name": NAME, "namespace": SYSTEM}, "data": data})

    yield turn
    turn()


def metric(running: Operator, name: str) -> float:
    answer = running.ask("/metrics")
    assert answer
    prefix = f"llmworker_operator_{name} "
    return sum(float(line.removeprefix(prefix)) for line in answer.text.splitlines() if line.startswith(prefix))


def document(api: Api, namespace: str) -> dict[str, Any]:
    found = api.get("configmaps", namespace, "qwen-watchdog")
    assert found
    read: dict[str, Any] = json.loads(found["data"]["policy.json"])
    return read


def test_it_reaches_everybody_and_takes_back_what_nobody_claimed(
    api: Api, namespace: str, leads: Operator, switch: Callable[..., None]
) -> None:
    fleet = Fleet(api, namespace)
    fleet.ask("qwen-x-0", "one", detected=20)
    until(lambda: fleet.granted("one"))
    switch(paused=WHY)
    until(lambda: not fleet.granted("one"))
    paused = until(lambda: condition(fleet.worker(), "Paused"))
    assert (paused["status"], paused["reason"], paused["message"]) == ("True", "WholeCluster", WHY)
    assert modes_of(fleet.worker()).cluster_paused == WHY, "as a watchdog reads it"
    assert document(api, namespace)["clusterPaused"] == {"reason": WHY}
    assert metric(leads, "cluster_paused") == 1
    fleet.ask("qwen-x-1", "two")
    until(lambda: metric(leads, 'requests_waiting{reason="Paused"}') == 2)
    assert not fleet.granted("one")
    assert not fleet.granted("two")
    switch()
    until(lambda: fleet.granted("one") or fleet.granted("two"))
    until(lambda: not condition(fleet.worker(), "Paused"))
    assert "clusterPaused" not in document(api, namespace)
    assert metric(leads, "cluster_paused") == 0


def test_what_is_not_understood_changes_nothing_also_for_the_next_leader(
    api: Api, installed: Path, namespace: str, tmp_path: Path, switch: Callable[..., None]
) -> None:
    with operator(installed, tmp_path / "first.log", **QUICK) as first:
        first.wait_until_it_leads()
        fleet = Fleet(api, namespace)
        switch(paused=WHY)
        until(lambda: condition(fleet.worker(), "Paused"))
        switch(paussed="with a slip of the pen")
        said = until(lambda: condition(fleet.worker(), "PauseUnreadable"))
        assert (said["status"], said["reason"]) == ("True", "Malformed")
        assert "it has no key paused: the cluster stays paused as it was" in said["message"]
        assert first.stop() == 0
    fleet.ask("qwen-x-0", "one")
    with operator(installed, tmp_path / "second.log", **QUICK) as second:
        second.wait_until_it_leads()
        until(lambda: metric(second, 'requests_waiting{reason="Paused"}') == 1)
        assert (condition(fleet.worker(), "Paused") or {})["message"] == WHY
        assert metric(second, "cluster_pause_unreadable") == 1
        api.create("llmworkers", worker_manifest(namespace, "later"))
        later = settled(api, namespace, "later")
        assert (condition(later, "Paused") or {})["message"] == WHY, "who comes later is paused like all others"
        assert not fleet.granted("one")
        switch(paused="")
        until(lambda: fleet.granted("one"))
        until(lambda: not condition(fleet.worker(), "PauseUnreadable"))
        assert not condition(fleet.worker(), "Paused")
        assert second.stop() == 0


def test_an_operator_that_starts_grants_nothing_before_it_has_looked(
    api: Api, installed: Path, namespace: str, tmp_path: Path, switch: Callable[..., None]
) -> None:
    """Thrown while nobody led, with a request that waits already; the poll itself never comes."""
    switch(paused=WHY)
    api.create("llmworkers", worker_manifest(namespace))
    api.create("serviceaccounts", {"metadata": {"name": "default", "namespace": namespace}})
    pod = api.create(
        "pods",
        {
            "metadata": {"name": "qwen-x-0", "namespace": namespace, "labels": {"llmworker.dev/worker": "qwen"}},
            "spec": {"containers": [{"name": "engine", "image": "engine:1"}], "automountServiceAccountToken": False},
        },
    )
    make_incident(api, namespace, "one", "qwen-x-0", pod["metadata"]["uid"])
    asks = {"phase": "AwaitingGrant", "requestedStep": "Restart", "reason": "NoFirstToken", "message": "Silent."}
    api.patch("llmincidents", namespace, "one", {"status": asks}, "status")
    with operator(installed, tmp_path / "operator.log", pause_poll_seconds="3600") as started:
        started.wait_until_it_leads()
        until(lambda: metric(started, 'requests_waiting{reason="Paused"}') == 1)
        found = api.get("llmincidents", namespace, "one")
        assert found
        assert not found["status"].get("grant")
        assert started.stop() == 0
