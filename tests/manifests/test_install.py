"""`kubectl apply -k` on a real API server: goes in, stays the same, and gives no more rights than it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from llm_watchdog.api import names

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

pytestmark = pytest.mark.apiserver

MANIFESTS = Path(__file__).parents[2] / "manifests"
LOCAL = str(MANIFESTS / "overlays" / "local")
SYSTEM = "llmworker-system"
OPERATOR = f"system:serviceaccount:{SYSTEM}:llmworker-operator"
WATCHDOG = f"system:serviceaccount:models:{names.WATCHDOG_SERVICE_ACCOUNT}"


@pytest.fixture(scope="session")
def installed(apiserver: ApiAccess) -> ApiAccess:
    apiserver.kubectl("apply", "-k", LOCAL, check=True)
    return apiserver


def built(api: ApiAccess, folder: str) -> list[dict[str, Any]]:
    text = api.kubectl("kustomize", str(MANIFESTS / folder), check=True).stdout
    return list(yaml.safe_load_all(text))


def test_applying_again_changes_nothing(installed: ApiAccess) -> None:
    installed.kubectl("diff", "-k", LOCAL, check=True)
    again = installed.kubectl("apply", "-k", LOCAL, check=True).stdout.splitlines()
    assert [line for line in again if not line.endswith((" unchanged", "llmworker-operator configured"))] == []
    assert len(again) == len(built(installed, "overlays/local"))


def test_server_side_apply_too(installed: ApiAccess) -> None:
    """As GitOps tools do it, over what `kubectl apply` made."""
    installed.kubectl("apply", "--server-side", "--force-conflicts", "-k", LOCAL, check=True)


def test_local_overlay_pulls_nothing_and_names_local_images(installed: ApiAccess) -> None:
    (deployment,) = (each for each in built(installed, "overlays/local") if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "llmworker.dev/operator:dev"
    assert container["imagePullPolicy"] == "IfNotPresent"
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["LLMWORKER_WATCHDOG_IMAGE"] == "llmworker.dev/watchdog:dev"


def test_monitoring_is_well_formed(installed: ApiAccess) -> None:
    objects = built(installed, "monitoring")
    monitors = [each for each in objects if each["kind"] == "PodMonitor"]
    assert [each["kind"] for each in objects if each not in monitors] == ["PrometheusRule"]
    ports = {each["metadata"]["name"]: each["spec"]["podMetricsEndpoints"] for each in monitors}
    assert ports["llmworker-watchdogs"][0]["port"] == names.WATCHDOG_PORT_NAME


def test_the_right_to_taint_nodes_comes_with_its_overlay_only(installed: ApiAccess) -> None:
    """And with the setting that uses it."""
    added = {(each["kind"], each["metadata"]["name"]): each for each in built(installed, "overlays/taint-nodes")}
    base = {(each["kind"], each["metadata"]["name"]) for each in built(installed, "base")}
    name = "llmworker-operator-taint-nodes"
    assert added.keys() - base == {("ClusterRole", name), ("ClusterRoleBinding", name)}
    assert added["ClusterRole", name]["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}]
    (container,) = added["Deployment", "llmworker-operator"]["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["LLMWORKER_TAINT_SUSPECT_NODES"] == "true"
    assert not may(installed, OPERATOR, "models", "patch", "nodes")


def test_operator_passes_pod_security_restricted(installed: ApiAccess) -> None:
    """Its namespace enforces it, and a template that violates it would only show up as missing pods."""
    deployment = json.loads(
        installed.kubectl("-n", SYSTEM, "get", "deployment", "llmworker-operator", "-o", "json", check=True).stdout
    )
    spec = {**deployment["spec"]["template"]["spec"], "automountServiceAccountToken": False}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "as-the-deployment-makes-it"}, "spec": spec}
    installed.kubectl("-n", SYSTEM, "create", "--dry-run=server", "-f", "-", input=json.dumps(pod), check=True)


def may(api: ApiAccess, user: str, namespace: str, verb: str, resource: str) -> bool:
    """`resource` is `kind`, `kind/name` or `kind:subresource`."""
    kind, _, subresource = resource.partition(":")
    part = (f"--subresource={subresource}",) if subresource else ()
    asked = api.kubectl("auth", "can-i", verb, kind, *part, f"--as={user}", "-n", namespace)
    return asked.stdout.strip() == "yes"


@pytest.mark.parametrize(
    ("namespace", "verb", "resource"),
    [
        ("models", "watch", "llmworkers.llmworker.dev"),
        ("models", "patch", "llmworkers.llmworker.dev:status"),
        ("models", "delete", "llmincidents.llmworker.dev"),
        ("models", "patch", "llmincidents.llmworker.dev:status"),
        ("models", "create", "deployments.apps"),
        ("models", "patch", "controllerrevisions.apps"),
        ("models", "patch", "services"),
        ("models", "patch", "configmaps"),
        ("models", "patch", "poddisruptionbudgets.policy"),
        ("models", "create", "serviceaccounts/llm-watchdog"),
        ("models", "delete", "rolebindings.rbac.authorization.k8s.io/llm-watchdog"),
        ("models", "bind", "clusterroles.rbac.authorization.k8s.io/llmworker-watchdog"),
        ("models", "patch", "pods"),
        ("models", "create", "pods:eviction"),
        ("models", "delete", "pods"),
        ("models", "list", "nodes"),
        ("models", "list", "validatingadmissionpolicies.admissionregistration.k8s.io"),
        (SYSTEM, "create", "leases.coordination.k8s.io"),
        (SYSTEM, "update", "leases.coordination.k8s.io/llmworker-operator"),
    ],
)
def test_operator_may(installed: ApiAccess, namespace: str, verb: str, resource: str) -> None:
    assert may(installed, OPERATOR, namespace, verb, resource)


@pytest.mark.parametrize(
    ("namespace", "verb", "resource"),
    [
        ("models", "bind", "clusterroles.rbac.authorization.k8s.io/cluster-admin"),
        ("models", "escalate", "clusterroles.rbac.authorization.k8s.io"),
        ("models", "create", "clusterrolebindings.rbac.authorization.k8s.io"),
        ("models", "create", "roles.rbac.authorization.k8s.io"),
        ("models", "get", "secrets"),
        ("models", "create", "pods"),
        ("models", "create", "pods:exec"),
        ("models", "patch", "pods:status"),
        ("models", "delete", "deployments.apps"),
        ("models", "update", "deployments.apps"),
        ("models", "delete", "services"),
        ("models", "delete", "configmaps"),
        ("models", "delete", "poddisruptionbudgets.policy"),
        ("models", "list", "replicasets.apps"),
        ("models", "watch", "nodes"),
        ("models", "list", "namespaces"),
        ("models", "update", "llmworkers.llmworker.dev:finalizers"),
        ("models", "patch", "serviceaccounts/default"),
        ("models", "delete", "serviceaccounts/default"),
        ("models", "create", "serviceaccounts"),
        ("models", "create", "rolebindings.rbac.authorization.k8s.io"),
        ("models", "patch", "rolebindings.rbac.authorization.k8s.io/admins"),
        ("models", "delete", "rolebindings.rbac.authorization.k8s.io/admins"),
        ("models", "create", "serviceaccounts:token"),
        ("models", "impersonate", "users"),
        ("models", "create", "llmincidents.llmworker.dev"),
        ("models", "delete", "llmworkers.llmworker.dev"),
        ("models", "patch", "llmworkers.llmworker.dev"),
        ("models", "patch", "nodes"),
        ("models", "patch", "validatingadmissionpolicies.admissionregistration.k8s.io"),
        ("models", "patch", "customresourcedefinitions.apiextensions.k8s.io"),
        ("models", "create", "leases.coordination.k8s.io"),
        (SYSTEM, "update", "leases.coordination.k8s.io/other"),
    ],
)
def test_operator_may_not(installed: ApiAccess, namespace: str, verb: str, resource: str) -> None:
    assert not may(installed, OPERATOR, namespace, verb, resource)


def applied_by_the_operator(api: ApiAccess, name: str, role: str) -> str:
    """What the API server says to a binding of this name to this role; empty if it takes it."""
    subject = {"kind": "ServiceAccount", "name": names.WATCHDOG_SERVICE_ACCOUNT, "namespace": "handed-out"}
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": "handed-out"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
    command = ("apply", "--server-side", f"--as={OPERATOR}", "-f", "-")
    return api.kubectl(*command, input=json.dumps(binding)).stderr


def test_operator_hands_out_one_role_under_one_name_only(installed: ApiAccess) -> None:
    """By its own hands: the API server allows this binding to the watchdog's role, and no other."""
    installed.kubectl("create", "namespace", "handed-out", check=True)
    ours, role = names.WATCHDOG_SERVICE_ACCOUNT, names.WATCHDOG_CLUSTER_ROLE
    assert "grant RBAC permissions not currently held" in applied_by_the_operator(installed, ours, "cluster-admin")
    assert 'cannot patch resource "rolebindings"' in applied_by_the_operator(installed, "another", role)
    assert applied_by_the_operator(installed, ours, role) == ""


def test_watchdog_has_no_rights_until_they_are_given(installed: ApiAccess) -> None:
    assert not may(installed, WATCHDOG, "models", "create", "llmincidents.llmworker.dev")
    assert not may(installed, WATCHDOG, "models", "get", "pods")
