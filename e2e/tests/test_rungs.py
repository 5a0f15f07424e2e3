"""The rungs below a restart and above: an abort, a flush; another pod, quarantine, and what a person does then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab.access import items, wait_for
from e2e.lab.processes import break_accelerator, order_fault, repair_accelerator
from e2e.lab.timeline import engine_id
from llm_watchdog.api import names

if TYPE_CHECKING:
    from e2e.lab.access import Access
    from e2e.lab.workers import Worker
    from e2e.tests.conftest import Scene, WorkerFactory

pytestmark = [pytest.mark.cluster, pytest.mark.long]

NAMESPACE = "models"
RUNG_SECONDS = 300
"""Detection, a drain, a restart that is given up after `startupTimeout`, and the rung after it."""
QUICK: dict[str, Any] = {"startupTimeout": "60s", "budget": {"cooldown": "1s"}, "brake": {"state": "Disabled"}}
"""Without the brake: these workers have just been rolled out, and a restart that cured nothing would hold the rest."""


def steps(incident: dict[str, Any]) -> list[str]:
    return [step["step"] for step in incident["status"]["steps"]]


def by_uid(worker: Worker) -> dict[str, Any]:
    return {pod["metadata"]["uid"]: pod for pod in worker.pods()}


def detached(worker: Worker) -> list[str]:
    selector = f"{names.LABEL_WORKER}={names.detached_label(worker.name)}"
    found = items(worker.access, "-n", NAMESPACE, "pods", "-l", selector)
    return [pod["metadata"]["name"] for pod in found]


def release(worker: Worker, pod: str) -> None:
    worker.kubectl("annotate", "pod", pod, f"{names.ANNOTATION_RELEASE}=repaired")


def test_a_canary_that_runs_on_is_aborted_and_nothing_else_is_done(
    installed: Access, make_worker: WorkerFactory, scene: Scene
) -> None:
    soon = {"detectors": {"runawayGeneration": {"deadline": "10s"}}}
    worker = make_worker("runaway", replicas=2, watchdog=soon)
    sick = worker.pods()[0]["metadata"]["name"]
    before = engine_id(worker.pod(sick))
    scene.mark()
    order_fault(installed, NAMESPACE, sick, "runs-on")
    incident = worker.wait_incident(RUNG_SECONDS, phase="Closed")
    assert incident["spec"]["fault"] == "RunawayGeneration"
    assert incident["status"]["outcome"] == "Recovered", incident["status"]
    assert steps(incident) == ["AbortRequest"]
    assert scene.times(sick).out_of_rotation is None, "to abort what is its own takes nothing from anybody"
    assert engine_id(worker.pod(sick)) == before
    assert len(worker.incidents()) == 1


def test_a_poisoned_cache_is_flushed_and_nothing_is_restarted(
    installed: Access, make_worker: WorkerFactory, scene: Scene
) -> None:
    worker = make_worker("poisoned", replicas=2)
    sick = worker.pods()[0]["metadata"]["name"]
    before = engine_id(worker.pod(sick))
    scene.mark()
    order_fault(installed, NAMESPACE, sick, "poisoned-cache")
    incident = worker.wait_incident(RUNG_SECONDS, phase="Closed")
    worker.wait_in_rotation(2)
    assert incident["spec"]["fault"] == "DegradedOutput"
    assert incident["status"]["outcome"] == "Recovered", incident["status"]
    assert steps(incident) == ["FlushCache"]
    assert scene.times(sick).out_of_rotation is not None, "it was flushed under its users"
    assert engine_id(worker.pod(sick)) == before
    assert len(worker.incidents()) == 1


def test_a_pod_that_no_restart_cures_is_replaced(installed: Access, make_worker: WorkerFactory, scene: Scene) -> None:
    worker = make_worker("replaced", replicas=2, breakable=True, watchdog={"remediation": QUICK})
    before = by_uid(worker)
    sick, well = before
    scene.mark()
    break_accelerator(installed, NAMESPACE, before[sick]["metadata"]["name"])
    incident = worker.wait_incident(RUNG_SECONDS, phase="Closed")
    worker.wait_in_rotation(2)
    assert incident["status"]["outcome"] == "Recovered", incident["status"]
    assert steps(incident) == ["Drain", "Restart", "ReplacePod"]
    assert incident["status"]["steps"][-1]["outcome"] == "Succeeded"
    after = by_uid(worker)
    assert sick not in after
    assert engine_id(after[well]) == engine_id(before[well]), "the healthy one was touched"
    assert len(worker.incidents()) == 1


def test_a_held_replica_serves_again_when_a_person_has_repaired_and_released_it(
    installed: Access, make_worker: WorkerFactory, scene: Scene
) -> None:
    ladder = {"ladders": {"stalledStream": ["Drain", "Restart", "Quarantine"]}}
    worker = make_worker("held", replicas=2, breakable=True, watchdog={"remediation": {**QUICK, **ladder}})
    before = by_uid(worker)
    sick = next(iter(before))
    pod = before[sick]["metadata"]["name"]
    scene.mark()
    break_accelerator(installed, NAMESPACE, pod)
    incident = worker.wait_incident(RUNG_SECONDS, phase="Closed")
    assert incident["status"]["outcome"] == "Quarantined", incident["status"]
    wait_for("the worker to say it", lambda: worker.condition("Degraded"), timeout=30)
    assert by_uid(worker).keys() == before.keys(), "held, and not replaced"
    repair_accelerator(installed, NAMESPACE, pod)
    release(worker, pod)
    worker.wait_in_rotation(2, timeout=RUNG_SECONDS)
    assert by_uid(worker).keys() == before.keys()
    assert worker.incidents()[-1]["status"]["outcome"] == "Recovered", "its engine still hung, and was restarted"


def test_a_detached_pod_is_kept_until_it_is_released_or_its_worker_is_gone(
    installed: Access, make_worker: WorkerFactory, scene: Scene
) -> None:
    ladder = {"ladders": {"stalledStream": ["Drain", "Restart", "Quarantine"]}, "quarantine": "Detach"}
    worker = make_worker("aside", replicas=1, breakable=True, watchdog={"remediation": {**QUICK, **ladder}})
    first = worker.only_pod()
    scene.mark()
    break_accelerator(installed, NAMESPACE, first)
    wait_for("the pod to be detached", lambda: detached(worker) == [first], timeout=RUNG_SECONDS)
    worker.wait_in_rotation(1)
    second = worker.only_pod()
    assert second != first
    release(worker, first)
    wait_for("the released pod to be gone", lambda: not detached(worker), timeout=90)
    break_accelerator(installed, NAMESPACE, second)
    wait_for("the next one to be detached", lambda: detached(worker) == [second], timeout=RUNG_SECONDS)
    worker.delete()
    wait_for("the detached pod to be gone with its worker", lambda: not detached(worker), timeout=90)
