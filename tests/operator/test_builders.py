"""What the children of a worker look like."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.api import names
from llm_watchdog.api.document import decode
from llm_watchdog.api.policy import Policy
from llmworker_operator.builders.configmap import policy_config_map
from llmworker_operator.builders.controllerrevision import KEPT, controller_revision, surplus
from llmworker_operator.builders.deployment import deployment
from llmworker_operator.builders.metadata import ANNOTATION_APPLIED
from llmworker_operator.builders.pdb import disruption_budget
from llmworker_operator.builders.pod_template import Rendering, pod_template, spec_hash
from llmworker_operator.builders.rolebinding import role_binding
from llmworker_operator.builders.service import service
from llmworker_operator.builders.serviceaccount import service_account
from llmworker_operator.domain.cluster_pause import ClusterPause
from tests.operator.making import worker

if TYPE_CHECKING:
    from llmworker_operator.domain.worker import Worker

OWNER = {"apiVersion": "llmworker.dev/v1alpha1", "kind": "LLMWorker", "name": "qwen", "uid": "uid-qwen"}
SHARE = {"maxSurge": "25%", "maxUnavailable": "25%"}


def render(given: Worker, *, rules: bool = True, probe: bool = True, image: str = "watchdog:1") -> dict[str, Any]:
    rendering = Rendering(watchdog_image=image, pull_policy="IfNotPresent", restart_rules=rules, restart_probe=probe)
    return pod_template(given, rendering)


def templated(engine: dict[str, Any] | None = None, *, metadata: dict[str, Any] | None = None, **spec: Any) -> Worker:
    container = {"name": "engine", "image": "engine:1", **(engine or {})}
    template = {"spec": {"containers": [container], **spec}, **({"metadata": metadata} if metadata else {})}
    return worker(template=template)


def container(template: dict[str, Any], name: str, part: str = "containers") -> dict[str, Any]:
    return next(c for c in template["spec"][part] if c["name"] == name)


def sidecar_of(template: dict[str, Any]) -> dict[str, Any]:
    return container(template, names.WATCHDOG_CONTAINER, "initContainers")


def test_every_child_names_its_owner_and_worker() -> None:
    given = worker()
    for child in (
        deployment(given, {}),
        service(given),
        policy_config_map(given, ClusterPause()),
        disruption_budget(given),
    ):
        assert child["metadata"]["ownerReferences"] == [{**OWNER, "controller": True}]
        assert child["metadata"]["labels"][names.LABEL_WORKER] == "qwen"
        assert child["metadata"]["namespace"] == "demo"


def test_service_is_named_as_the_worker_and_has_the_engines_port() -> None:
    made = service(worker(engine={"type": "vllm", "port": 8123}))
    assert made["metadata"]["name"] == "qwen"
    assert made["spec"] == {
        "selector": {names.LABEL_WORKER: "qwen"},
        "ports": [{"name": "http", "port": 8123, "targetPort": 8123, "protocol": "TCP"}],
    }


def test_the_policy_reaches_the_watchdog_with_all_defaults() -> None:
    given = worker(watchdog={"canary": {"interval": "3s"}})
    data = policy_config_map(given, ClusterPause())["data"]
    assert set(data) == {names.POLICY_FILE}
    assert decode(Policy, json.loads(data[names.POLICY_FILE])) == Policy(engine=given.engine, watchdog=given.watchdog)


def test_disruption_budget() -> None:
    made = disruption_budget(worker(watchdog={"remediation": {"budget": {"maxUnavailable": 2}}}))
    assert made["spec"]["maxUnavailable"] == 2
    assert made["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize(("replicas", "allowed"), [(11, 2), (3, 1), (0, 1)])
def test_disruption_budget_of_a_percentage_is_the_number_that_grants_keep_to(replicas: int, allowed: int) -> None:
    given = worker(replicas=replicas, watchdog={"remediation": {"budget": {"maxUnavailable": "25%"}}})
    assert disruption_budget(given)["spec"]["maxUnavailable"] == allowed == given.max_unavailable


def test_shared_children_have_one_owner_per_worker_and_no_controller() -> None:
    workers = [worker("b"), worker("a")]
    for child in (service_account("demo", workers), role_binding("demo", workers)):
        assert [o["name"] for o in child["metadata"]["ownerReferences"]] == ["a", "b"]
        assert not any("controller" in o for o in child["metadata"]["ownerReferences"])
        assert child["metadata"]["name"] == "llm-watchdog"


def test_the_binding_is_to_the_one_role() -> None:
    made = role_binding("demo", [worker()])
    assert made["roleRef"]["name"] == "llmworker-watchdog"
    assert made["subjects"] == [{"kind": "ServiceAccount", "name": "llm-watchdog", "namespace": "demo"}]


def test_the_digest_changes_with_any_field() -> None:
    one, two = service(worker()), service(worker(engine={"type": "openai", "port": 1}))
    assert one["metadata"]["annotations"][ANNOTATION_APPLIED] != two["metadata"]["annotations"][ANNOTATION_APPLIED]


def test_sidecar_fits_pod_security_restricted() -> None:
    security = sidecar_of(render(worker()))["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_sidecar_is_native_and_unprobed() -> None:
    sidecar = sidecar_of(render(worker()))
    assert sidecar["restartPolicy"] == "Always"
    assert not {"livenessProbe", "readinessProbe", "startupProbe"} & set(sidecar)


def test_sidecar_knows_its_pod() -> None:
    env = {
        e["name"]: e.get("value") or e["valueFrom"]["fieldRef"]["fieldPath"]
        for e in sidecar_of(render(worker()))["env"]
    }
    assert env == {
        names.ENV_WORKER: "qwen",
        names.ENV_POD_NAME: "metadata.name",
        names.ENV_POD_NAMESPACE: "metadata.namespace",
        names.ENV_POD_UID: "metadata.uid",
        names.ENV_NODE_NAME: "spec.nodeName",
    }


@pytest.mark.parametrize("rules", [True, False])
def test_restart_rules_only_where_they_are_known(*, rules: bool) -> None:
    sidecar = sidecar_of(render(worker(), rules=rules))
    expected = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}]
    assert sidecar.get("restartPolicyRules") == (expected if rules else None)


def test_the_token_and_the_journal_are_the_watchdogs_alone() -> None:
    template = render(templated({}, containers=[{"name": "engine"}, {"name": "other"}]))
    mounted = {
        c["name"]: {m["name"]: m.get("readOnly", False) for m in c.get("volumeMounts", [])}
        for part in ("containers", "initContainers")
        for c in template["spec"][part]
    }
    assert mounted["engine"] == {names.VOLUME_ORDERS: True}
    assert mounted["other"] == {}
    assert mounted["llm-watchdog"] == {
        names.VOLUME_JOURNAL: False,
        names.VOLUME_ORDERS: False,
        names.VOLUME_POLICY: True,
        names.VOLUME_POD_INFO: True,
        names.VOLUME_TOKEN: True,
    }
    assert template["spec"]["automountServiceAccountToken"] is False
    assert template["spec"]["serviceAccountName"] == "llm-watchdog"


def test_the_api_key_comes_as_one_file() -> None:
    given = worker(engine={"type": "openai", "apiKeySecretRef": {"name": "qwen-key", "key": "token"}})
    template = render(given)
    volume = next(v for v in template["spec"]["volumes"] if v["name"] == names.VOLUME_API_KEY)
    assert volume["secret"] == {"secretName": "qwen-key", "items": [{"key": "token", "path": "key"}]}
    assert names.VOLUME_API_KEY in {m["name"] for m in sidecar_of(template)["volumeMounts"]}
    assert names.VOLUME_API_KEY not in {m["name"] for m in container(template, "engine")["volumeMounts"]}


def test_pod_info_projects_the_two_annotations() -> None:
    volume = next(v for v in render(worker())["spec"]["volumes"] if v["name"] == names.VOLUME_POD_INFO)
    assert {i["path"]: i["fieldRef"]["fieldPath"] for i in volume["downwardAPI"]["items"]} == {
        "restart-method": "metadata.annotations['llmworker.dev/restart-method']",
        "release": "metadata.annotations['llmworker.dev/release']",
    }


def test_the_engine_drains_before_it_stops() -> None:
    engine = container(render(worker()), "engine")
    assert engine["lifecycle"]["preStop"] == {"httpGet": {"path": "/drain", "port": 9105, "scheme": "HTTP"}}
    assert "readinessProbe" not in engine


def test_a_users_own_hooks_and_probes_are_kept() -> None:
    own = {
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8000}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}},
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    engine = container(render(templated(own)), "engine")
    for field in ("lifecycle", "livenessProbe", "readinessProbe"):
        assert engine[field] == own[field]
    assert engine["volumeMounts"][0] == own["volumeMounts"][0]  # type: ignore[index]


def test_a_users_post_start_hook_goes_with_our_drain() -> None:
    engine = container(render(templated({"lifecycle": {"postStart": {"exec": {"command": ["true"]}}}})), "engine")
    assert set(engine["lifecycle"]) == {"postStart", "preStop"}


@pytest.mark.parametrize("probe", [True, False])
def test_the_restart_probe_only_where_a_node_needs_it(*, probe: bool) -> None:
    assert ("livenessProbe" in container(render(worker(), probe=probe), "engine")) is probe


def test_the_restart_probe_where_it_is_chosen_by_name() -> None:
    chosen = worker(watchdog={"remediation": {"restartMethod": "LivenessProbe"}})
    assert "livenessProbe" in container(render(chosen, probe=False), "engine")


def test_the_watchdog_comes_after_the_users_init_containers() -> None:
    template = render(templated(initContainers=[{"name": "download", "image": "d"}]))
    assert [c["name"] for c in template["spec"]["initContainers"]] == ["download", "llm-watchdog"]


def test_the_rest_of_the_users_template_is_kept() -> None:
    given = templated(
        metadata={"labels": {"team": "x", names.LABEL_WORKER: "forged"}, "annotations": {"note": "y"}},
        nodeSelector={"gpu": "yes"},
        readinessGates=[{"conditionType": "example.com/own"}],
        volumes=[{"name": "models", "emptyDir": {}}],
    )
    template = render(given)
    assert template["metadata"]["labels"] == {"team": "x", names.LABEL_WORKER: "qwen"}
    assert template["metadata"]["annotations"]["note"] == "y"
    assert template["spec"]["nodeSelector"] == {"gpu": "yes"}
    assert [g["conditionType"] for g in template["spec"]["readinessGates"]] == ["example.com/own", names.ROTATION_GATE]
    assert template["spec"]["volumes"][0]["name"] == "models"


def test_time_for_the_drain() -> None:
    assert render(worker())["spec"]["terminationGracePeriodSeconds"] == 40
    assert render(templated(terminationGracePeriodSeconds=7))["spec"]["terminationGracePeriodSeconds"] == 7
    slow = worker(watchdog={"remediation": {"drainTimeout": "2m"}})
    assert render(slow)["spec"]["terminationGracePeriodSeconds"] == 130


def test_rendering_leaves_the_users_template_as_it_is() -> None:
    given = worker()
    before = json.dumps(given.template)
    render(given)
    assert json.dumps(given.template) == before


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"replicas": 9}, True),
        ({"watchdog": {"mode": "Observe", "canary": {"interval": "4s"}}}, True),
        ({"engine": {"type": "vllm", "port": 9000}}, True),
        ({"strategy": {"type": "Recreate"}}, True),
        ({"engine": {"type": "openai", "apiKeySecretRef": {"name": "a", "key": "b"}}}, False),
        ({"template": {"spec": {"containers": [{"name": "engine", "image": "engine:2"}]}}}, False),
        ({"watchdog": {"remediation": {"drainTimeout": "99s"}}}, True),
        ({"watchdog": {"remediation": {"restartMethod": "AllContainers"}}}, True),
        ({"watchdog": {"remediation": {"restartMethod": "LivenessProbe"}}}, False),
    ],
)
def test_the_hash_follows_what_shapes_the_pod_and_nothing_else(changed: dict[str, Any], *, same: bool) -> None:
    assert (spec_hash(worker(**changed)) == spec_hash(worker())) is same


def test_deployment() -> None:
    made = deployment(worker(replicas=4, progressDeadlineSeconds=900), {"spec": {}})
    assert made["spec"] == {
        "replicas": 4,
        "selector": {"matchLabels": {names.LABEL_WORKER: "qwen"}},
        "progressDeadlineSeconds": 900,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": SHARE},
        "template": {"spec": {}},
    }


@pytest.mark.parametrize(
    ("wished", "written"),
    [
        ({}, {"type": "RollingUpdate", "rollingUpdate": SHARE}),
        (
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0}},
            {"type": "RollingUpdate", "rollingUpdate": {**SHARE, "maxSurge": 0}},
        ),
        ({"type": "Recreate", "rollingUpdate": None}, {"type": "Recreate"}),
    ],
)
def test_the_strategy_is_written_out(wished: dict[str, Any], written: dict[str, Any]) -> None:
    assert deployment(worker(strategy=wished), {})["spec"]["strategy"] == written


def test_revisions_are_numbered_and_the_oldest_go() -> None:
    made: list[dict[str, Any]] = []
    for n in range(KEPT + 3):
        made.append(controller_revision(worker(), f"hash{n}", {"spec": {"n": n}}, made))
    assert [r["revision"] for r in made] == list(range(1, KEPT + 4))
    assert [r["metadata"]["name"] for r in surplus(made, {"qwen-hash0"})] == ["qwen-hash2", "qwen-hash1"]
