"""A GitOps tool sees a worker begin, arrive and fail, by the rule of kstatus over what the API server hands out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator import kstatus
from tests.operator.kstatus import Result
from tests.operator.live.api import Api, condition, until
from tests.operator.live.fleet import Fleet, set_watchdog, stamp
from tests.operator.live.worker import worker_manifest

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("nodes")]

BAD = {"spec": {"containers": [{"name": "engine", "image": "engine:1", "imagePullPolicy": "Sometimes"}]}}


def seen(api: Api, namespace: str) -> Result:
    return kstatus.compute(api.get("llmworkers", namespace, "qwen") or {})


def roll_out(api: Api, namespace: str) -> None:
    """As the Deployment's controller reports it."""
    deployment: dict[str, Any] = api.get("deployments", namespace, "qwen") or {}
    replicas = deployment["spec"]["replicas"]
    progress = {
        "type": "Progressing",
        "status": "True",
        "reason": "NewReplicaSetAvailable",
        "message": "",
        "lastTransitionTime": stamp(),
        "lastUpdateTime": stamp(),
    }
    status = {
        "observedGeneration": deployment["metadata"]["generation"],
        "conditions": [progress],
        **dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas),
    }
    api.patch("deployments", namespace, "qwen", {"status": status}, "status")


def test_nobody_has_looked_yet(api: Api, namespace: str) -> None:
    """No operator runs: a sync that waits for health must not pass."""
    api.create("llmworkers", worker_manifest(namespace))
    assert seen(api, namespace) is Result.IN_PROGRESS


@pytest.mark.usefixtures("running")
class TestWithAnOperator:
    def test_in_progress_until_it_is_rolled_out_and_in_rotation(self, api: Api, namespace: str) -> None:
        fleet = Fleet(api, namespace, replicas=1)
        until(lambda: condition(fleet.worker(), "Reconciling"))
        assert seen(api, namespace) is Result.IN_PROGRESS
        set_watchdog(api, namespace, "qwen-x-0", "containerd://first", ready=False)
        roll_out(api, namespace)
        until(lambda: not condition(fleet.worker(), "Reconciling"))
        assert seen(api, namespace) is Result.IN_PROGRESS, "rolled out, and not in rotation"
        set_watchdog(api, namespace, "qwen-x-0", "containerd://first")
        until(lambda: seen(api, namespace) is Result.CURRENT)

    def test_an_incident_that_is_being_dealt_with_fails_no_sync(self, api: Api, namespace: str) -> None:
        fleet = Fleet(api, namespace, replicas=2)
        roll_out(api, namespace)
        until(lambda: seen(api, namespace) is Result.CURRENT)
        set_watchdog(api, namespace, "qwen-x-0", "containerd://first", ready=False)
        fleet.ask("qwen-x-0", "silent")
        until(lambda: condition(fleet.worker(), "Degraded") and fleet.granted("silent"))
        until(lambda: fleet.worker()["status"]["readyReplicas"] == 1)
        assert seen(api, namespace) is Result.CURRENT

    def test_a_refused_template_has_failed_until_it_is_mended(self, api: Api, namespace: str) -> None:
        fleet = Fleet(api, namespace, replicas=1)
        roll_out(api, namespace)
        until(lambda: seen(api, namespace) is Result.CURRENT)
        good = worker_manifest(namespace)["spec"]["template"]
        changed = api.patch("llmworkers", namespace, "qwen", {"spec": {"template": BAD}})
        assert kstatus.compute(changed) is Result.IN_PROGRESS
        until(lambda: seen(api, namespace) is not Result.IN_PROGRESS)
        assert seen(api, namespace) is Result.FAILED
        stalled = condition(fleet.worker(), "Stalled")
        assert stalled
        assert "imagePullPolicy" in stalled["message"]
        api.patch("llmworkers", namespace, "qwen", {"spec": {"template": good}})
        until(lambda: seen(api, namespace) is Result.CURRENT)

    def test_a_template_that_was_never_good_has_failed_too(self, api: Api, namespace: str) -> None:
        made = api.create("llmworkers", worker_manifest(namespace, template=BAD))
        assert kstatus.compute(made) is Result.IN_PROGRESS
        until(lambda: seen(api, namespace) is Result.FAILED)
