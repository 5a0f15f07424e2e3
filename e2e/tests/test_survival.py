"""What it must survive: broken images, two faults at once, other restart methods, new versions, its own deletion."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from e2e.images.building import build
from e2e.lab.access import items, run, wait_for
from e2e.lab.install import NAMESPACE as SYSTEM
from e2e.lab.install import OPERATOR
from e2e.lab.processes import hang
from e2e.lab.timeline import engine_id, gated_for, in_rotation, ready_pods, restarts, states_of
from e2e.tests.conftest import LAST_WORKER_NAMESPACE
from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.lab.access import Access
    from e2e.tests.conftest import Scene, WorkerFactory

pytestmark = pytest.mark.cluster

NAMESPACE = "models"
RECOVERY_SECONDS = 150
STARTUP_SECONDS = 12


@pytest.fixture
def bad_watchdog_image(installed: Access) -> Iterator[None]:
    run(installed, "-n", SYSTEM, "set", "env", OPERATOR, "LLMWORKER_WATCHDOG_IMAGE=llmworker.dev/watchdog:missing")
    run(installed, "-n", SYSTEM, "rollout", "status", OPERATOR, "--timeout=90s")
    yield
    run(installed, "-n", SYSTEM, "set", "env", OPERATOR, "LLMWORKER_WATCHDOG_IMAGE=llmworker.dev/watchdog:dev")
    run(installed, "-n", SYSTEM, "rollout", "status", OPERATOR, "--timeout=90s")


def watchdog_image(pod: dict[str, Any]) -> str:
    return str(pod["spec"]["initContainers"][-1]["image"])


@pytest.mark.alone
def test_a_watchdog_image_that_cannot_start_harms_no_engine_and_admits_no_new_pod(
    installed: Access, make_worker: WorkerFactory, scene: Scene, request: pytest.FixtureRequest
) -> None:
    worker = make_worker("badimage", replicas=2)
    before = {pod["metadata"]["name"]: engine_id(pod) for pod in worker.pods()}
    request.getfixturevalue("bad_watchdog_image")

    def patched() -> list[str]:
        return [pod["metadata"]["name"] for pod in worker.pods() if watchdog_image(pod).endswith(":missing")]

    wait_for("the first watchdog to be patched", patched, timeout=60)
    scene.mark()
    newcomer = make_worker("badimage-new", replicas=1, wait=False)
    (made,) = wait_for("the new worker's pod", newcomer.pods, timeout=60)
    time.sleep(15)
    assert len(patched()) == 1, "the roll-out of a bad image went on"
    assert {pod["metadata"]["name"]: engine_id(pod) for pod in worker.pods()} == before, "an engine was restarted"
    states = states_of(made["metadata"]["name"], scene.story.zero, scene.pods.seen)
    assert states, "the watch saw nothing of the new pod"
    assert not any(map(in_rotation, states)), "a pod without a watchdog got into rotation"
    assert not any(
        newcomer.name in seen.object["metadata"]["name"] and ready_pods(seen.object) for seen in scene.slices.seen
    )


def test_after_a_restart_the_replica_waits_for_its_canary(
    make_worker: WorkerFactory, installed: Access, scene: Scene
) -> None:
    worker = make_worker("gated", replicas=1, args=("--startup-seconds", str(STARTUP_SECONDS)))
    pod = worker.only_pod()
    before = engine_id(worker.pod(pod))
    scene.mark()
    hang(installed, NAMESPACE, pod)
    worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1)
    states = states_of(pod, scene.story.zero, scene.pods.seen)
    new = [state for state in states if engine_id(state) not in {None, before}]
    assert new, "no restart was seen"
    assert not in_rotation(new[0]), "in rotation although the new engine had not answered yet"
    assert gated_for(new) >= STARTUP_SECONDS, "in rotation before it could answer a canary"


def test_two_replicas_that_hang_at_once_are_restarted_one_at_a_time(
    installed: Access, make_worker: WorkerFactory, scene: Scene
) -> None:
    worker = make_worker(
        "both", replicas=2, watchdog={"remediation": {"budget": {"cooldown": "1s", "maxUnavailable": 1}}}
    )
    scene.mark()
    for pod in worker.pods():
        hang(installed, NAMESPACE, pod["metadata"]["name"])
    wait_for(
        "both incidents closed",
        lambda: [i.get("status", {}).get("phase") for i in worker.incidents()] == ["Closed", "Closed"],
        timeout=RECOVERY_SECONDS * 2,
    )
    worker.wait_in_rotation(2)
    holding: set[str] = set()
    for seen in scene.incidents.seen:
        if seen.object["metadata"]["labels"][names.LABEL_WORKER] != worker.name:
            continue
        name = seen.object["metadata"]["name"]
        acting = seen.object.get("status", {}).get("phase") in {"Acting", "Verifying"}
        (holding.add if acting else holding.discard)(name)
        assert len(holding) <= 1, f"two replicas in a granted step at once: {holding}"
    assert all(i["status"]["outcome"] == "Recovered" for i in worker.incidents())


def test_the_liveness_probe_method_restarts_the_engine_too(
    installed: Access, make_worker: WorkerFactory, scene: Scene
) -> None:
    worker = make_worker("liveness", replicas=1, watchdog={"remediation": {"restartMethod": "LivenessProbe"}})
    pod = worker.only_pod()
    watchdog_before = worker.pod(pod)["status"]["initContainerStatuses"][-1]["containerID"]
    scene.mark()
    hang(installed, NAMESPACE, pod)
    incident = worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1)
    assert incident["status"]["outcome"] == "Recovered"
    after = worker.pod(pod)
    assert restarts(after) == 1
    assert after["status"]["initContainerStatuses"][-1]["containerID"] == watchdog_before, "the watchdog was restarted"


@pytest.mark.alone
def test_a_new_operator_version_restarts_no_engine(installed: Access, make_worker: WorkerFactory) -> None:
    worker = make_worker("upgrade", replicas=2)
    before = {pod["metadata"]["uid"]: engine_id(pod) for pod in worker.pods()}
    # The same content by its other name: to Kubernetes a new image.
    following = build(["watchdog"])["watchdog"].reference
    run(installed, "-n", SYSTEM, "set", "env", OPERATOR, f"LLMWORKER_WATCHDOG_IMAGE={following}")
    try:
        run(installed, "-n", SYSTEM, "rollout", "status", OPERATOR, "--timeout=90s")

        def all_patched() -> bool:
            return all(watchdog_image(pod) == following for pod in worker.pods())

        wait_for("the watchdogs to be patched", all_patched, timeout=120)
        worker.wait_in_rotation(2)
        assert {pod["metadata"]["uid"]: engine_id(pod) for pod in worker.pods()} == before
    finally:
        run(installed, "-n", SYSTEM, "set", "env", OPERATOR, "LLMWORKER_WATCHDOG_IMAGE=llmworker.dev/watchdog:dev")
        run(installed, "-n", SYSTEM, "rollout", "status", OPERATOR, "--timeout=90s")


def test_deleting_a_worker_leaves_nothing_but_its_incidents(installed: Access, make_worker: WorkerFactory) -> None:
    worker = make_worker("deleted", replicas=1, namespace=LAST_WORKER_NAMESPACE)
    hang(installed, LAST_WORKER_NAMESPACE, worker.only_pod())
    worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.delete()
    own = f"{names.LABEL_WORKER}={worker.name}"
    kinds = "deployments,replicasets,pods,services,configmaps,poddisruptionbudgets,controllerrevisions"

    def left() -> list[str]:
        # The watchdogs' account and its binding are shared by the namespace's workers; this was the last one.
        shared = items(installed, "-n", LAST_WORKER_NAMESPACE, "serviceaccounts,rolebindings")
        found = [i for i in shared if i["metadata"]["name"] == names.WATCHDOG_SERVICE_ACCOUNT]
        found += items(installed, "-n", LAST_WORKER_NAMESPACE, kinds, "-l", own)
        return [f"{i['kind']}/{i['metadata']['name']}" for i in found]

    wait_for("the children to be gone", lambda: not left(), timeout=60)
    assert len(worker.incidents()) == 1
