"""The API server fixture issues what the tests of the watchdog's rights stand on: tokens bound to one pod."""

import json

import pytest

from e2e.cluster.access import ApiAccess

pytestmark = pytest.mark.apiserver

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "bound", "namespace": "default"},
    "spec": {
        "nodeName": "nowhere",
        "serviceAccountName": "holder",
        "containers": [{"name": "engine", "image": "none"}],
    },
}


@pytest.fixture(scope="module")
def pod_uid(apiserver: ApiAccess) -> str:
    apiserver.kubectl("create", "serviceaccount", "holder", check=True)
    made = apiserver.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(POD), check=True)
    return str(json.loads(made.stdout)["metadata"]["uid"])


def test_is_the_pinned_version_and_starts_empty_of_our_kinds(apiserver: ApiAccess) -> None:
    version = json.loads(apiserver.kubectl("version", "-o", "json", check=True).stdout)
    assert version["serverVersion"]["gitVersion"] == "v1.36.3"


def test_token_carries_its_pod(apiserver: ApiAccess, pod_uid: str) -> None:
    token = apiserver.token_for("holder", pod="bound", pod_uid=pod_uid)
    told = apiserver.kubectl_as(token, "auth", "whoami", "-o", "json", check=True)
    user = json.loads(told.stdout)["status"]["userInfo"]
    assert user["username"] == "system:serviceaccount:default:holder"
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["bound"]
    assert user["extra"]["authentication.kubernetes.io/pod-uid"] == [pod_uid]


def test_token_alone_has_no_rights(apiserver: ApiAccess, pod_uid: str) -> None:
    token = apiserver.token_for("holder", pod="bound", pod_uid=pod_uid)
    refused = apiserver.kubectl_as(token, "get", "pods")
    assert refused.returncode != 0
    assert "Forbidden" in refused.stderr


def test_pod_security_is_enforced(apiserver: ApiAccess, pod_uid: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}}
    apiserver.kubectl("create", "-f", "-", input=json.dumps(namespace), check=True)
    apiserver.kubectl("-n", "strict", "create", "serviceaccount", "holder", check=True)
    pod = {**POD, "metadata": {"name": "loose", "namespace": "strict"}}
    refused = apiserver.kubectl("create", "-f", "-", input=json.dumps(pod))
    assert refused.returncode != 0
    assert "violates PodSecurity" in refused.stderr


def test_admission_policies_are_served(apiserver: ApiAccess) -> None:
    kinds = apiserver.kubectl("api-resources", "--api-group=admissionregistration.k8s.io", "-o", "name", check=True)
    assert "validatingadmissionpolicies.admissionregistration.k8s.io" in kinds.stdout
