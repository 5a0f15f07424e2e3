"""What platform engineers do every day, with real controllers and a real kubelet: roll out, scale, repair."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab.access import get, run, wait_for
from e2e.lab.engines import ENGINES
from e2e.lab.timeline import serving
from e2e.lab.traffic import Load, Traffic, failed
from llm_watchdog.api import names

if TYPE_CHECKING:
    from e2e.cluster.source import Cluster
    from e2e.lab.workers import Worker
    from e2e.tests.conftest import WorkerFactory

pytestmark = pytest.mark.cluster

NAMESPACE = "models"
MARK = {"name": "GENERATION", "value": "2"}


def change_template(worker: Worker) -> None:
    """One more variable for the engine: enough for a rollout."""
    patch = [{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": MARK}]
    worker.kubectl("patch", names.WORKER_PLURAL, worker.name, "--type=json", "-p", json.dumps(patch))


def is_new(pod: dict[str, Any]) -> bool:
    return MARK in pod["spec"]["containers"][0]["env"]


@pytest.mark.longest
def test_a_changed_template_rolls_out_and_cuts_no_request(make_worker: WorkerFactory) -> None:
    worker = make_worker("rollout", replicas=2, args=("--token-seconds", "0.05"))
    load = Load(parallel=8, every=0.2, seconds=50, max_tokens=40, timeout=30)
    users = Traffic.start(worker, "users", ENGINES["fault-engine"], load)
    wait_for("answers", lambda: len(users.reports()) > 8, timeout=60)
    old = {pod["metadata"]["uid"] for pod in worker.pods()}
    change_template(worker)

    def rolled_out() -> bool:
        pods = worker.pods()
        return len(pods) == 2 and all(serving(pod) and is_new(pod) for pod in pods)

    wait_for("two replicas of the new template", rolled_out, timeout=120)
    reports = users.wait(120)
    assert not old & {pod["metadata"]["uid"] for pod in worker.pods()}
    assert failed(reports) == 0, [report for report in reports if report["outcome"] != "ok"]
    assert worker.incidents() == []


def test_scale_and_children_that_come_back(installed: Cluster, make_worker: WorkerFactory) -> None:
    worker = make_worker("everyday", replicas=1)
    worker.kubectl("scale", "llmworker", worker.name, "--replicas=2")
    worker.wait_in_rotation(2)
    run(installed, "-n", NAMESPACE, "wait", "--for=condition=Ready", f"llmworker/{worker.name}", "--timeout=60s")
    worker.kubectl("delete", "service", worker.name)
    wait_for("the Service", lambda: get(installed, "-n", NAMESPACE, "service", worker.name), timeout=30)
    worker.kubectl("scale", "deployment", worker.name, "--replicas=5")

    def undone() -> bool:
        deployment = get(installed, "-n", NAMESPACE, "deployment", worker.name)
        return deployment is not None and deployment["spec"]["replicas"] == 2

    wait_for("the drift to be undone", undone, timeout=30)
    worker.kubectl("scale", "llmworker", worker.name, "--replicas=0")
    wait_for("nobody left", lambda: not worker.pods(), timeout=60)
    run(installed, "-n", NAMESPACE, "wait", "--for=condition=Available", f"llmworker/{worker.name}", "--timeout=60s")
