"""Children come, come back and are left alone where they are not ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.live.api import Api, condition, until
from tests.operator.live.worker import settled, worker_manifest

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess
    from e2e.lab.operator_process import Operator

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("running")]

CHILDREN = [
    ("deployments", "qwen"),
    ("services", "qwen"),
    ("configmaps", "qwen-watchdog"),
    ("poddisruptionbudgets", "qwen"),
    ("serviceaccounts", "llm-watchdog"),
    ("rolebindings", "llm-watchdog"),
]


@pytest.fixture
def worker(api: Api, namespace: str) -> dict[str, Any]:
    made = api.create("llmworkers", worker_manifest(namespace))
    settled(api, namespace)
    return made


def stalled(api: Api, namespace: str) -> str:
    found = until(lambda: condition(api.get("llmworkers", namespace, "qwen"), "Stalled"))
    return f"{found['reason']}: {found['message']}"


def test_all_children_are_there_and_owned(api: Api, namespace: str, worker: dict[str, Any]) -> None:
    for plural, name in CHILDREN:
        child = api.get(plural, namespace, name)
        assert child, plural
        assert [o["uid"] for o in child["metadata"]["ownerReferences"]] == [worker["metadata"]["uid"]], plural
        assert "finalizers" not in child["metadata"]
    assert len([n for n in api.names("controllerrevisions", namespace) if n.startswith("qwen-")]) == 1


def test_nothing_is_left_on_the_worker_itself(api: Api, namespace: str, worker: dict[str, Any]) -> None:
    """No finalizer, no annotation of the framework: its deletion waits for nobody."""
    metadata = settled(api, namespace)["metadata"]
    assert not metadata.get("finalizers")
    assert not metadata.get("annotations")


def test_restart_rules_are_in_the_template_where_the_api_server_keeps_them(
    api: Api, namespace: str, worker: dict[str, Any]
) -> None:
    deployment = api.get("deployments", namespace, "qwen")
    assert deployment
    (sidecar,) = deployment["spec"]["template"]["spec"]["initContainers"]
    assert sidecar["restartPolicyRules"][0]["action"] == "RestartAllContainers"


@pytest.mark.parametrize(("plural", "name"), CHILDREN, ids=[c[0] for c in CHILDREN])
def test_a_deleted_child_comes_back(api: Api, namespace: str, worker: dict[str, Any], plural: str, name: str) -> None:
    before = api.get(plural, namespace, name)
    assert before
    api.delete(plural, namespace, name)
    after = until(lambda: api.get(plural, namespace, name))
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


@pytest.mark.parametrize(
    ("plural", "name", "edit"),
    [
        ("deployments", "qwen", {"spec": {"replicas": 7}}),
        ("deployments", "qwen", {"metadata": {"labels": {"llmworker.dev/worker": None}}}),
        ("services", "qwen", {"spec": {"selector": {"llmworker.dev/worker": "other"}}}),
        ("configmaps", "qwen-watchdog", {"data": {"policy.json": "{}"}}),
        ("poddisruptionbudgets", "qwen", {"spec": {"maxUnavailable": 9}}),
        ("serviceaccounts", "llm-watchdog", {"automountServiceAccountToken": True}),
        ("rolebindings", "llm-watchdog", {"subjects": []}),
    ],
)
def test_drift_is_undone(
    api: Api, namespace: str, worker: dict[str, Any], plural: str, name: str, edit: dict[str, Any]
) -> None:
    def content() -> dict[str, Any]:
        child = api.get(plural, namespace, name)
        assert child
        volatile = {"resourceVersion", "generation", "managedFields"}
        metadata = {k: v for k, v in child["metadata"].items() if k not in volatile}
        return {**child, "metadata": metadata}

    before = content()
    api.patch(plural, namespace, name, edit)
    until(lambda: content() == before)


def test_what_is_as_it_should_be_is_not_written_again(api: Api, namespace: str, running: Operator) -> None:
    """Quantities and defaults are written down differently by the API server."""
    resources = {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"memory": "2048Mi"}}
    engine = {"name": "engine", "image": "engine:1", "resources": resources, "ports": [{"containerPort": 8000}]}
    api.create("llmworkers", worker_manifest(namespace, template={"spec": {"containers": [engine]}}))
    settled(api, namespace)

    def versions() -> dict[str, str]:
        found = {plural: api.get(plural, namespace, name) for plural, name in CHILDREN}
        return {plural: child["metadata"]["resourceVersion"] for plural, child in found.items() if child}

    before, passes = versions(), len(running.messages())
    api.patch("llmworkers", namespace, "qwen", {"metadata": {"labels": {"touched": "yes"}}})
    api.patch("llmworkers", namespace, "qwen", {"spec": {"power": {"level": 2}}})
    settled(api, namespace)
    assert versions() == before
    assert not [m for m in running.messages()[passes:] if m.startswith("applied")]


def test_a_foreign_service_is_not_adopted(api: Api, namespace: str) -> None:
    foreign = {"metadata": {"name": "qwen", "namespace": namespace}, "spec": {"ports": [{"port": 1}]}}
    before = api.create("services", foreign)
    api.create("llmworkers", worker_manifest(namespace))
    assert "NameTaken: Service qwen" in stalled(api, namespace)
    assert api.get("services", namespace, "qwen") == before


def test_a_foreign_deployment_is_not_adopted(api: Api, namespace: str) -> None:
    labels = {"app": "mine"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    foreign = {
        "metadata": {"name": "qwen", "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": pod},
    }
    before = api.create("deployments", foreign)
    api.create("llmworkers", worker_manifest(namespace))
    assert "NameTaken: Deployment qwen" in stalled(api, namespace)
    assert api.get("deployments", namespace, "qwen") == before


def test_a_refused_template_is_stalled_with_the_api_servers_words(api: Api, namespace: str) -> None:
    bad = {"spec": {"containers": [{"name": "engine", "image": "engine:1", "imagePullPolicy": "Sometimes"}]}}
    api.create("llmworkers", worker_manifest(namespace, template=bad))
    told = stalled(api, namespace)
    assert told.startswith("Refused:")
    assert "imagePullPolicy" in told
    assert api.get("deployments", namespace, "qwen") is None
    assert not [n for n in api.names("controllerrevisions", namespace) if n.startswith("qwen-")]
    good = worker_manifest(namespace)["spec"]["template"]
    api.patch("llmworkers", namespace, "qwen", {"spec": {"template": good}})
    until(lambda: api.get("deployments", namespace, "qwen"))
    until(lambda: not condition(api.get("llmworkers", namespace, "qwen"), "Stalled"))


def test_a_change_that_is_refused_leaves_the_running_deployment_alone(
    api: Api, namespace: str, worker: dict[str, Any]
) -> None:
    before = api.get("deployments", namespace, "qwen")
    bad = {"spec": {"containers": [{"name": "engine", "image": "engine:1", "imagePullPolicy": "Sometimes"}]}}
    api.patch("llmworkers", namespace, "qwen", {"spec": {"template": bad}})
    assert "Refused" in stalled(api, namespace)
    assert api.get("deployments", namespace, "qwen") == before


def test_what_is_refused_later_is_stalled_too(api: Api, namespace: str, worker: dict[str, Any]) -> None:
    """The Deployment's own controller reports quota and pod security."""
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: gpus"}
    times = {"lastTransitionTime": "2026-11-21T12:00:00Z", "lastUpdateTime": "2026-11-21T12:00:00Z"}
    api.patch("deployments", namespace, "qwen", {"status": {"conditions": [{**failure, **times}]}}, "status")
    assert stalled(api, namespace) == "ReplicaFailure: exceeded quota: gpus"


def test_scale(apiserver: ApiAccess, api: Api, namespace: str, worker: dict[str, Any]) -> None:
    apiserver.kubectl("-n", namespace, "scale", "llmworker", "qwen", "--replicas=5", check=True)
    until(lambda: (api.get("deployments", namespace, "qwen") or {})["spec"]["replicas"] == 5)
    scale = json.loads(
        apiserver.kubectl("-n", namespace, "get", "llmworker", "qwen", "--subresource=scale", "-o", "json").stdout
    )
    assert scale["spec"]["replicas"] == 5
    assert scale["status"]["selector"] == "llmworker.dev/worker=qwen"


def test_the_strategy_can_be_changed_to_and_fro(api: Api, namespace: str, worker: dict[str, Any]) -> None:
    def strategy() -> dict[str, Any]:
        found: dict[str, Any] = (api.get("deployments", namespace, "qwen") or {})["spec"]["strategy"]
        return found

    no_surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    for wished in ({"type": "Recreate", "rollingUpdate": None}, no_surge, {"type": "Recreate", "rollingUpdate": None}):
        api.patch("llmworkers", namespace, "qwen", {"spec": {"strategy": wished}})
        expected = {k: v for k, v in wished.items() if v is not None}
        until(lambda: strategy() == expected)  # noqa: B023
    assert not condition(settled(api, namespace), "Stalled")


def test_a_spec_that_is_put_back_finds_its_own_template_again(api: Api, namespace: str, worker: dict[str, Any]) -> None:
    def image() -> str:
        found = (api.get("deployments", namespace, "qwen") or {})["spec"]["template"]["spec"]["containers"][0]["image"]
        return str(found)

    first = api.names("controllerrevisions", namespace)
    for wanted in ("engine:2", "engine:1"):
        template = {"spec": {"containers": [{"name": "engine", "image": wanted}]}}
        api.patch("llmworkers", namespace, "qwen", {"spec": {"template": template}})
        until(lambda: image() == wanted)  # noqa: B023
    revisions = api.names("controllerrevisions", namespace)
    assert len(revisions) == 2
    assert set(first) < set(revisions)


def test_two_workers_share_identity_and_rights(api: Api, namespace: str, worker: dict[str, Any]) -> None:
    second = api.create("llmworkers", worker_manifest(namespace, "llama"))
    both = {worker["metadata"]["uid"], second["metadata"]["uid"]}

    def owners(plural: str) -> set[str]:
        child = api.get(plural, namespace, "llm-watchdog") or {"metadata": {}}
        return {o["uid"] for o in child["metadata"].get("ownerReferences", [])}

    until(lambda: owners("serviceaccounts") == owners("rolebindings") == both)


def marker(api: Api, namespace: str, name: str) -> None:
    """Once it is settled, the operator has seen all that happened to workers before it."""
    api.create("llmworkers", worker_manifest(namespace, name))
    settled(api, namespace, name)


def test_a_worker_that_is_being_deleted_gets_nothing_new(api: Api, namespace: str, worker: dict[str, Any]) -> None:
    api.patch("llmworkers", namespace, "qwen", {"metadata": {"finalizers": ["example.com/wait"]}})
    api.delete("llmworkers", namespace, "qwen")
    marker(api, namespace, "seen")
    api.delete("services", namespace, "qwen")
    marker(api, namespace, "passed")
    assert api.get("services", namespace, "qwen") is None
    api.patch("llmworkers", namespace, "qwen", {"metadata": {"finalizers": None}})
    until(lambda: api.get("llmworkers", namespace, "qwen") is None)


def test_a_worker_that_is_made_again_waits_for_its_predecessors_children(
    api: Api, namespace: str, worker: dict[str, Any]
) -> None:
    api.delete("llmworkers", namespace, "qwen")
    api.create("llmworkers", worker_manifest(namespace))
    found = settled(api, namespace)
    reconciling = condition(found, "Reconciling")
    assert reconciling
    assert reconciling["reason"] == "Waiting"
    for plural, name in CHILDREN[:4]:
        api.delete(plural, namespace, name)
    for revision in api.names("controllerrevisions", namespace):
        if revision.startswith("qwen-"):
            api.delete("controllerrevisions", namespace, revision)
    uid = found["metadata"]["uid"]

    def owner() -> str:
        child = api.get("deployments", namespace, "qwen")
        return str(child["metadata"]["ownerReferences"][0]["uid"]) if child else ""

    until(lambda: owner() == uid)
