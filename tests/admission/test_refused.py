"""Pods, events and all the rest are refused by the API server: most by the policies, the rest by RBAC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.api import names
from tests.admission.caller import JSON, MERGE, STRATEGIC, refused, refused_by_rbac
from tests.admission.objects import (
    INCIDENTS,
    OTHER_POD,
    OWN_POD,
    condition,
    event,
    incident,
    new_event,
    pod,
    running,
)

if TYPE_CHECKING:
    from tests.admission.caller import Caller
    from tests.admission.conftest import Guarded

pytestmark = pytest.mark.apiserver

OWN_STATUS = f"v1/pods/{OWN_POD}/status"


class TestPods:
    @pytest.mark.parametrize("kind", ["Ready", "ContainersReady", "PodScheduled", "llmworker.dev/InRotationToo"])
    def test_other_conditions(self, watchdog: Caller, kind: str) -> None:
        body = {"status": {"conditions": [condition(kind, "False")]}}
        answer = watchdog.send("PATCH", OWN_STATUS, body, content=STRATEGIC)
        assert refused(answer, "InRotation only")

    def test_removing_a_condition(self, watchdog: Caller) -> None:
        body = {"status": {"conditions": [condition(names.ROTATION_GATE, "True")]}}
        assert refused(watchdog.send("PATCH", OWN_STATUS, body, content=MERGE), "InRotation only")

    @pytest.mark.parametrize("key", ["labels", "annotations"])
    @pytest.mark.parametrize("value", [{"x": "y"}, None], ids=["more", "none"])
    def test_metadata_through_the_status(self, watchdog: Caller, key: str, value: dict[str, str] | None) -> None:
        answer = watchdog.send("PATCH", OWN_STATUS, {"metadata": {key: value}}, content=MERGE)
        assert refused(answer, "may not change its pod's metadata")

    def test_finalizer_through_the_status(self, watchdog: Caller) -> None:
        body = {"metadata": {"finalizers": ["example.com/never"]}}
        answer = watchdog.send("PATCH", OWN_STATUS, body, content=MERGE)
        assert refused(answer, "may not change its pod's metadata")

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("phase", "Failed"),
            ("podIP", "10.0.0.99"),
            ("hostIP", "10.1.0.99"),
            ("message", "all is well"),
            ("reason", "Evicted"),
            ("startTime", "2020-01-01T00:00:00Z"),
            ("nominatedNodeName", "node-2"),
            ("containerStatuses", [{**running()["containerStatuses"][0], "containerID": "containerd://2"}]),
            ("containerStatuses", None),
            ("initContainerStatuses", running()["containerStatuses"]),
            ("qosClass", "Guaranteed"),
        ],
    )
    def test_other_status(self, watchdog: Caller, key: str, value: Any) -> None:
        answer = watchdog.send("PATCH", OWN_STATUS, {"status": {key: value}}, content=MERGE)
        assert answer.status in {403, 422}
        assert "of its pod's status the watchdog may write" in answer.message or "immutable" in answer.message

    def test_rotation_of_another_pod(self, watchdog: Caller) -> None:
        body = {"status": {"conditions": [condition(names.ROTATION_GATE, "False")]}}
        answer = watchdog.send("PATCH", f"v1/pods/{OTHER_POD}/status", body, content=STRATEGIC)
        assert refused(answer, "of its own pod only")

    def test_of_an_earlier_pod_of_the_same_name(self, guarded: Guarded) -> None:
        """A token outlives its pod by some seconds; the next pod of that name is not its own."""
        name = "qwen-6d4cf56db6-again"
        guarded.uids[name] = guarded.create(pod(name))["metadata"]["uid"]
        caller = guarded.caller(name)
        guarded.kubectl("delete", "pod", name, "--force", "--grace-period=0")
        guarded.create(pod(name))
        body = {"status": {"conditions": [condition(names.ROTATION_GATE, "True")]}}
        answer = caller.send("PATCH", f"v1/pods/{name}/status", body, content=STRATEGIC)
        assert answer.status in {401, 403}
        caller.close()

    def test_the_pod_itself(self, watchdog: Caller) -> None:
        assert refused_by_rbac(watchdog.send("PATCH", f"v1/pods/{OWN_POD}", {"metadata": {}}, content=MERGE))
        assert refused_by_rbac(watchdog.send("DELETE", f"v1/pods/{OWN_POD}"))
        assert refused_by_rbac(watchdog.send("POST", f"v1/pods/{OWN_POD}/eviction", {}))
        assert refused_by_rbac(watchdog.send("POST", f"v1/pods/{OWN_POD}/exec?command=true"))
        assert refused_by_rbac(watchdog.send("POST", "v1/pods", pod("qwen-new")))


class TestEvents:
    @pytest.mark.parametrize("make", [event, new_event])
    @pytest.mark.parametrize("change", [{"name": OTHER_POD}, {"uid": "1"}, {"kind": "Node"}, {"uid": ""}])
    def test_about_others(
        self, guarded: Guarded, watchdog: Caller, own_uid: str, make: Any, change: dict[str, str]
    ) -> None:
        about = {"kind": "Pod", "name": OWN_POD, "namespace": guarded.namespace, "uid": own_uid, **change}
        document = make(guarded.namespace, about, "qwen.3")
        path = "v1/events" if document["apiVersion"] == "v1" else "events.k8s.io/v1/events"
        assert refused(watchdog.send("POST", path, document), "about its own pod only")

    def test_taking_over_anothers(self, guarded: Guarded, watchdog: Caller, own_uid: str, other_uid: str) -> None:
        about = {"kind": "Pod", "name": OTHER_POD, "namespace": guarded.namespace, "uid": other_uid}
        guarded.create(event(guarded.namespace, about, "other.1"))
        for body in ({"message": "all is well"}, {"involvedObject": {"name": OWN_POD, "uid": own_uid}}):
            answer = watchdog.send("PATCH", "v1/events/other.1", body, content=MERGE)
            assert refused(answer, "about its own pod only")


class TestTokenWithoutAPod:
    """One from `kubectl create token`, a legacy Secret or impersonation: refused everything."""

    def test_incident(self, unbound: Caller, own_uid: str) -> None:
        assert refused(unbound.send("POST", INCIDENTS, incident(OWN_POD, own_uid)), "must be bound to its pod")

    def test_incident_of_no_pod(self, unbound: Caller) -> None:
        answer = unbound.send("POST", INCIDENTS, incident("", ""))
        assert answer.status in {403, 422}
        document = incident(OWN_POD, "0" * 8)
        document["spec"]["podRef"] = {"name": "x", "uid": "x"}
        assert refused(unbound.send("POST", INCIDENTS, document), "must be bound to its pod")

    def test_rotation(self, unbound: Caller) -> None:
        body = {"status": {"conditions": [condition(names.ROTATION_GATE, "True")]}}
        answer = unbound.send("PATCH", OWN_STATUS, body, content=STRATEGIC)
        assert refused(answer, "must be bound to its pod")

    def test_event(self, guarded: Guarded, unbound: Caller, own_uid: str) -> None:
        about = {"kind": "Pod", "name": OWN_POD, "namespace": guarded.namespace, "uid": own_uid}
        answer = unbound.send("POST", "v1/events", event(guarded.namespace, about, "qwen.4"))
        assert refused(answer, "must be bound to its pod")

    def test_impersonation(self, guarded: Guarded) -> None:
        user = f"system:serviceaccount:{guarded.namespace}:{names.WATCHDOG_SERVICE_ACCOUNT}"
        done = guarded.api.kubectl(
            "-n", guarded.namespace, f"--as={user}", "patch", "pod", OWN_POD, "--subresource=status", "-p", "{}"
        )
        assert "must be bound to its pod" in done.stderr


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "v1/secrets"),
        ("GET", "v1/configmaps"),
        ("GET", "v1/pods"),
        ("GET", "apps/v1/deployments"),
        ("GET", f"v1/pods/{OWN_POD}/log"),
        ("POST", "llmworker.dev/v1alpha1/llmworkers"),
        ("PATCH", "llmworker.dev/v1alpha1/llmworkers/qwen"),
        ("PATCH", "llmworker.dev/v1alpha1/llmworkers/qwen/status"),
        ("PATCH", "llmworker.dev/v1alpha1/llmworkers/qwen/scale"),
        ("PATCH", "apps/v1/deployments/qwen"),
        ("POST", "rbac.authorization.k8s.io/v1/rolebindings"),
        ("POST", f"v1/serviceaccounts/{names.WATCHDOG_SERVICE_ACCOUNT}/token"),
    ],
)
def test_no_rights_for_the_rest(watchdog: Caller, method: str, path: str) -> None:
    content = MERGE if method == "PATCH" else JSON
    assert refused_by_rbac(watchdog.send(method, path, None if method == "GET" else {}, content=content))


class TestTooManyRights:
    """Where somebody binds more to the service account, the policies still hold for what they are about."""

    @pytest.fixture(autouse=True)
    def _administrator(self, guarded: Guarded) -> Any:
        account = f"--serviceaccount={guarded.namespace}:{names.WATCHDOG_SERVICE_ACCOUNT}"
        guarded.kubectl("create", "rolebinding", "too-much", "--clusterrole=cluster-admin", account)
        yield
        guarded.kubectl("delete", "rolebinding", "too-much")

    def test_pods(self, watchdog: Caller) -> None:
        only = "of a pod the watchdog may write the status only"
        patch = {"metadata": {"labels": {"x": "y"}}}
        assert refused(watchdog.send("PATCH", f"v1/pods/{OWN_POD}", patch, content=MERGE), only)
        assert refused(watchdog.send("DELETE", f"v1/pods/{OWN_POD}"), only)
        assert refused(watchdog.send("POST", "v1/pods", pod("qwen-new")), only)
        assert refused(watchdog.send("POST", f"v1/pods/{OTHER_POD}/exec?command=true"), only)
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": OTHER_POD}}
        assert refused(watchdog.send("POST", f"v1/pods/{OTHER_POD}/eviction", eviction), only)

    def test_incidents(self, watchdog: Caller, own_incident: str) -> None:
        answer = watchdog.send("DELETE", f"{INCIDENTS}/{own_incident}")
        assert refused(answer, "may not delete incidents")

    def test_events(self, guarded: Guarded, watchdog: Caller, own_uid: str) -> None:
        about = {"kind": "Pod", "name": OWN_POD, "namespace": guarded.namespace, "uid": own_uid}
        guarded.create(event(guarded.namespace, about, "qwen.5"))
        assert refused(watchdog.send("DELETE", "v1/events/qwen.5"), "may not delete events")
