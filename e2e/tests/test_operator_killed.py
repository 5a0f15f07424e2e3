"""The operator dies around each of its writes while a real engine hangs: one grant, one restart, one record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest

from e2e.lab.access import run
from e2e.lab.install import NAMESPACE as SYSTEM
from e2e.lab.install import OPERATOR
from e2e.lab.operator_process import operator, operators_kubeconfig
from e2e.lab.processes import hang
from e2e.lab.timeline import restarts
from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.lab.access import Access
    from e2e.lab.workers import Worker
    from e2e.tests.conftest import Scene, WorkerFactory

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.long]

NAMESPACE = "models"
DEATHS_MAX: Final = 100
LIFE_SECONDS: Final = 150
SIGKILLED: Final = -9
LOOK_SECONDS: Final = 0.5
WATCHDOG_IMAGE: Final = "llmworker.dev/watchdog:dev"
"""As in the local overlay: another one would be an upgrade."""


@pytest.fixture
def deposed(installed: Access) -> Iterator[None]:
    """Nobody leads but the process of the test."""
    replicas = run(installed, "-n", SYSTEM, "get", OPERATOR, "-o", "jsonpath={.spec.replicas}")
    run(installed, "-n", SYSTEM, "scale", OPERATOR, "--replicas=0")
    try:
        run(installed, "-n", SYSTEM, "wait", "pods", "-l", "app.kubernetes.io/name=llmworker-operator", "--for=delete")
        yield
    finally:
        run(installed, "-n", SYSTEM, "scale", OPERATOR, f"--replicas={replicas}")
        run(installed, "-n", SYSTEM, "rollout", "status", OPERATOR, "--timeout=90s")


def settled(worker: Worker) -> bool:
    """Recorded, and told in the worker's status."""
    ended = [i.get("status", {}).get("phase") == "Closed" for i in worker.incidents()]
    status = worker.object().get("status", {})
    return bool(ended) and all(ended) and status.get("openIncidents") == 0 and status.get("readyReplicas") == 2


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_around_every_write_while_an_engine_hangs(
    request: pytest.FixtureRequest,
    installed: Access,
    make_worker: WorkerFactory,
    scene: Scene,
    tmp_path: Path,
    side: str,
) -> None:
    """Each process gets one write further than the one before it, until nothing is left to write."""
    worker = make_worker(f"operator-killed-{side}", replicas=2)
    victim = worker.pods()[0]["metadata"]["name"]
    request.getfixturevalue("deposed")
    scene.mark()
    hang(installed, NAMESPACE, victim)
    points, deaths = tmp_path / "points", 0
    kubeconfig = operators_kubeconfig(installed, tmp_path)
    while not one_life(worker, kubeconfig, tmp_path / "operator.log", f"{side}:{points}"):
        deaths += 1
        assert deaths < DEATHS_MAX, points.read_text()
    worker.wait_in_rotation(2)

    (incident,) = worker.incidents()
    assert incident["status"]["outcome"] == "Recovered"
    assert [step["step"] for step in incident["status"]["steps"]] == ["Drain", "Restart"], "a step was repeated"
    assert restarts(worker.pod(victim)) == 1
    name = incident["metadata"]["name"]
    states = [seen.object for seen in scene.incidents.seen if seen.object["metadata"]["name"] == name]
    granted = {state["status"]["grant"]["grantedAt"] for state in states if "grant" in state.get("status", {})}
    assert len(granted) == 1, f"it was granted more than once: {granted}"
    record = f"/apis/{names.API_VERSION}/namespaces/{NAMESPACE}/llmincidents/{name}/status"
    assert f"crash PATCH {record}" in points.read_text().splitlines(), "it did not die around the grant"


def one_life(worker: Worker, kubeconfig: Path, log: Path, place: str) -> bool:
    """True if it lived to see the end."""
    with operator(kubeconfig, log, crash_at=place, identity="same", watchdog_image=WATCHDOG_IMAGE) as life:
        deadline = time.monotonic() + LIFE_SECONDS
        while not settled(worker):
            assert time.monotonic() < deadline, worker.incidents()
            if (status := life.wait(LOOK_SECONDS)) is not None:
                assert status == SIGKILLED, life.log()
                return False
        return True
