"""What it must survive: lost API servers, killed programs at any stage, broken images, two faults at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from e2e.images.building import build
from e2e.lab.access import items, run, wait_for
from e2e.lab.install import NAMESPACE as SYSTEM
from e2e.lab.install import OPERATOR
from e2e.lab.processes import find, signal
from e2e.lab.timeline import condition, engine_id, engine_status, in_rotation
from e2e.lab.watchdogs import kill_child
from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.source import Cluster
    from e2e.lab.access import Access
    from e2e.lab.workers import Worker
    from e2e.tests.conftest import Scene, WorkerFactory

pytestmark = pytest.mark.cluster

NAMESPACE = "models"
RECOVERY_SECONDS = 150


def hang(access: Access, pod: str) -> None:
    signal(access, NAMESPACE, pod, "STOP", find(access, NAMESPACE, pod, "EngineCore"))


def only_pod(worker: Worker) -> str:
    return str(worker.pods()[0]["metadata"]["name"])


def restarts(pod: dict[str, Any]) -> int:
    return int(engine_status(pod)["restartCount"])


@pytest.mark.alone
def test_with_the_api_server_gone_the_engine_is_restarted_and_the_record_arrives_once(
    cluster: Cluster, make_worker: WorkerFactory, scene: Scene
) -> None:
    worker = make_worker("outage", replicas=1)
    pod = only_pod(worker)
    before = engine_id(worker.pod(pod))
    hang(cluster, pod)
    cluster.stop_apiserver()
    # Longer than the 30 s without an API server, the jitter of at most 20 s and the restart: nobody outside sees it.
    time.sleep(80)
    back = datetime.now(UTC)
    cluster.start_apiserver()
    incident = worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1)
    assert engine_id(worker.pod(pod)) != before
    assert incident["status"]["outcome"] == "Recovered"
    assert len(worker.incidents()) == 1, "the record arrived more than once"
    steps = [(step["step"], step["outcome"]) for step in incident["status"]["steps"]]
    assert steps[-1] == ("Restart", "Succeeded")
    begun = datetime.fromisoformat(incident["status"]["steps"][-1]["startedAt"])
    assert begun < back, "it waited for the API server instead of helping itself"
    assert "without a grant" in incident["status"]["message"]


PHASES = ("Open", "AwaitingGrant", "Acting", "Verifying")


def kill_at(worker: Worker, phase: str, scene: Scene) -> None:
    """Hang the only replica, and kill its watchdog the moment its incident reaches a phase."""
    pod = only_pod(worker)

    def reached() -> bool:
        own = [i.object for i in scene.incidents.seen if i.object["spec"]["podRef"]["name"] == pod]
        return any(i.get("status", {}).get("phase", "Open") == phase for i in own)

    hang(worker.access, pod)
    wait_for(f"phase {phase}", reached, timeout=90, every=0.02)
    # In `Acting` the container may be on its way out by the order itself: then the next child is the one to kill.
    wait_for("a child to kill", lambda: kill_child(worker.access, NAMESPACE, pod), timeout=30, every=0.1)
    incident = worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1)
    assert incident["status"]["outcome"] == "Recovered", (phase, incident)
    assert len(worker.incidents()) == 1, f"the incident was doubled when killed in {phase}"
    done = [s for s in incident["status"]["steps"] if s["step"] == "Restart" and s.get("outcome") == "Succeeded"]
    assert len(done) == 1, f"restarted twice when killed in {phase}"
    assert restarts(worker.pod(pod)) == 1, f"the engine was started anew more than once when killed in {phase}"


def test_a_watchdog_killed_at_any_stage_continues_its_incident(make_worker: WorkerFactory, scene: Scene) -> None:
    # A start of some seconds, so that `Verifying` can be seen from outside before it is over.
    slow = ("--startup-seconds", "5")
    workers = {phase: make_worker(f"killed-{phase.lower()}", replicas=1, wait=False, args=slow) for phase in PHASES}
    for worker in workers.values():
        worker.wait_in_rotation(1)
    scene.mark()
    with ThreadPoolExecutor(len(workers)) as pool:
        for done in [pool.submit(kill_at, worker, phase, scene) for phase, worker in workers.items()]:
            done.result()


def test_a_watchdog_that_crashes_every_second_costs_nothing(installed: Access, make_worker: WorkerFactory) -> None:
    worker = make_worker("crashloop", replicas=1)
    pod = only_pod(worker)
    end, killed = time.time() + 60, 0
    while time.time() < end:
        killed += kill_child(installed, NAMESPACE, pod)
        state = worker.pod(pod)
        ready = condition(state, "Ready")
        assert ready is not None
        assert ready["status"] == "True", ready
        time.sleep(1)
    # The supervisor pauses up to 5 s between two starts, so not every second finds a child.
    assert killed >= 8, "the child was hardly ever there to be killed"
    assert restarts(worker.pod(pod)) == 0
    assert worker.incidents() == []


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
    installed: Access, make_worker: WorkerFactory, request: pytest.FixtureRequest
) -> None:
    worker = make_worker("badimage", replicas=2)
    before = {pod["metadata"]["name"]: engine_id(pod) for pod in worker.pods()}
    request.getfixturevalue("bad_watchdog_image")

    def patched() -> list[str]:
        return [pod["metadata"]["name"] for pod in worker.pods() if watchdog_image(pod).endswith(":missing")]

    wait_for("the first watchdog to be patched", patched, timeout=60)
    newcomer = make_worker("badimage-new", replicas=1, wait=False)
    wait_for("the new worker's pod", newcomer.pods, timeout=60)
    time.sleep(15)
    assert len(patched()) == 1, "the roll-out of a bad image went on"
    assert {pod["metadata"]["name"]: engine_id(pod) for pod in worker.pods()} == before, "an engine was restarted"
    assert not any(map(in_rotation, newcomer.pods())), "a pod without a watchdog got into rotation"


def test_after_a_restart_the_replica_waits_for_its_canary(
    make_worker: WorkerFactory, installed: Access, scene: Scene
) -> None:
    worker = make_worker("gated", replicas=1, args=("--startup-seconds", "12"))
    pod = only_pod(worker)
    before = engine_id(worker.pod(pod))
    scene.mark()
    hang(installed, pod)
    worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1)
    states = [
        seen.object for seen in scene.pods.seen if seen.at > scene.story.zero and seen.object["metadata"]["name"] == pod
    ]
    new = [state for state in states if engine_id(state) not in {None, before}]
    assert new, "no restart was seen"
    started = engine_status(new[0])["state"]["running"]["startedAt"]
    gates = [condition(state, "llmworker.dev/InRotation") for state in new]
    first_true = next(g for g in gates if g and g["status"] == "True")
    assert gates[0] is not None
    assert gates[0]["status"] == "False", "in rotation although the new engine had not answered yet"
    assert first_true["lastTransitionTime"] >= started


def test_two_replicas_that_hang_at_once_are_restarted_one_at_a_time(
    installed: Access, make_worker: WorkerFactory, scene: Scene
) -> None:
    worker = make_worker(
        "both", replicas=2, watchdog={"remediation": {"budget": {"cooldown": "1s", "maxUnavailable": 1}}}
    )
    scene.mark()
    for pod in worker.pods():
        hang(installed, pod["metadata"]["name"])
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
    pod = only_pod(worker)
    watchdog_before = worker.pod(pod)["status"]["initContainerStatuses"][-1]["containerID"]
    scene.mark()
    hang(installed, pod)
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


@pytest.mark.alone
def test_deleting_a_worker_leaves_nothing_but_its_incidents(
    installed: Access, make_worker: WorkerFactory, scene: Scene
) -> None:
    worker = make_worker("deleted", replicas=1)
    hang(installed, only_pod(worker))
    worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.delete()
    own = f"{names.LABEL_WORKER}={worker.name}"
    kinds = "deployments,replicasets,pods,services,configmaps,poddisruptionbudgets,controllerrevisions"

    def left() -> list[str]:
        # The watchdogs' account and its binding are shared by the namespace's workers; this was the last one.
        shared = items(installed, "-n", NAMESPACE, "serviceaccounts,rolebindings")
        found = [i for i in shared if i["metadata"]["name"] == names.WATCHDOG_SERVICE_ACCOUNT]
        found += items(installed, "-n", NAMESPACE, kinds, "-l", own)
        return [f"{i['kind']}/{i['metadata']['name']}" for i in found]

    wait_for("the children to be gone", lambda: not left(), timeout=60)
    assert len(worker.incidents()) == 1
