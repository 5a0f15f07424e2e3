"""Other pods' incidents, grants and metadata are refused by the API server, with a watchdog's own token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.api import names
from tests.admission.caller import APPLY, MERGE, refused, refused_by_rbac
from tests.admission.objects import (
    INCIDENTS,
    OTHER_POD,
    OWN_POD,
    incident,
)

if TYPE_CHECKING:
    from tests.admission.caller import Caller
    from tests.admission.conftest import Guarded

pytestmark = pytest.mark.apiserver

OWN_STATUS = f"v1/pods/{OWN_POD}/status"


class TestCreatingIncidents:
    def test_of_another_pod(self, watchdog: Caller, other_uid: str) -> None:
        assert refused(watchdog.send("POST", INCIDENTS, incident(OTHER_POD, other_uid)), "of its own pod only")

    def test_of_the_own_name_with_another_uid(self, watchdog: Caller, other_uid: str) -> None:
        assert refused(watchdog.send("POST", INCIDENTS, incident(OWN_POD, other_uid)), "of its own pod only")

    def test_of_the_own_uid_with_another_name(self, watchdog: Caller, own_uid: str) -> None:
        assert refused(watchdog.send("POST", INCIDENTS, incident(OTHER_POD, own_uid)), "of its own pod only")

    @pytest.mark.parametrize("worker", ["other", "qwen-6d4cf56db6", "q", ".*"])
    def test_of_another_worker(self, watchdog: Caller, own_uid: str, worker: str) -> None:
        document = incident(OWN_POD, own_uid, worker=worker)
        document["metadata"] = {"name": names.incident_name("qwen", "StalledStream", own_uid, 3)}
        answer = watchdog.send("POST", INCIDENTS, document)
        assert refused(answer, "the worker that the pod belongs to")

    def test_under_a_name_that_another_pod_will_need(self, watchdog: Caller, own_uid: str, other_uid: str) -> None:
        document = incident(OWN_POD, own_uid)
        document["metadata"]["name"] = names.incident_name("qwen", "StalledStream", other_uid, 1)
        assert refused(watchdog.send("POST", INCIDENTS, document), "an incident's name is made of")

    @pytest.mark.parametrize(
        ("labels", "why"),
        [
            ({"argocd.argoproj.io/instance": "shop"}, "the labels of its spec and no others"),
            ({names.LABEL_WORKER: "other"}, "the labels of its spec and no others"),
            ({names.LABEL_POD_UID: "other"}, "the labels of its spec and no others"),
        ],
    )
    def test_with_other_labels(self, watchdog: Caller, own_uid: str, labels: dict[str, str], why: str) -> None:
        document = incident(OWN_POD, own_uid, sequence=103)
        document["metadata"]["labels"] |= labels
        assert refused(watchdog.send("POST", INCIDENTS, document), why)

    @pytest.mark.parametrize(
        "metadata",
        [
            {"annotations": {"a": "b"}},
            {"finalizers": ["example.com/never"]},
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": OWN_POD, "uid": "1"}]},
        ],
        ids=lambda metadata: next(iter(metadata)),
    )
    def test_with_more_metadata(self, watchdog: Caller, own_uid: str, metadata: dict[str, Any]) -> None:
        document = incident(OWN_POD, own_uid, sequence=103)
        document["metadata"] |= metadata
        assert refused(watchdog.send("POST", INCIDENTS, document), "may not change an incident's metadata")

    def test_grant_at_creation_is_dropped(self, guarded: Guarded, watchdog: Caller, own_uid: str) -> None:
        grant = {"step": "Restart", "grantedAt": "2026-11-21T03:00:00Z", "expiresAt": "2026-11-21T04:00:00Z"}
        document = {**incident(OWN_POD, own_uid, sequence=104), "status": {"grant": grant}}
        assert watchdog.send("POST", INCIDENTS, document).status == 201
        assert "status" not in guarded.read("llmi", document["metadata"]["name"])

    def test_in_another_namespace(self, guarded: Guarded, elsewhere: str, own_uid: str) -> None:
        caller = guarded.caller(OWN_POD, namespace=elsewhere)
        assert refused_by_rbac(caller.send("POST", INCIDENTS, incident(OWN_POD, own_uid)))
        caller.close()


class TestChangingIncidents:
    def test_status_of_another_pods(self, watchdog: Caller, other_incident: str) -> None:
        body = {"status": {"phase": "Closed", "outcome": "Recovered"}}
        answer = watchdog.send("PATCH", f"{INCIDENTS}/{other_incident}/status", body, content=MERGE)
        assert refused(answer, "of its own pod only")

    def test_another_pods_into_ones_own(self, watchdog: Caller, other_incident: str, own_uid: str) -> None:
        body = {"spec": {"podRef": {"name": OWN_POD, "uid": own_uid}}}
        answer = watchdog.send("PATCH", f"{INCIDENTS}/{other_incident}", body, content=MERGE)
        assert answer.status in {403, 422}
        assert "own pod only" in answer.message or "immutable" in answer.message

    @pytest.mark.parametrize("content", [MERGE, APPLY])
    @pytest.mark.parametrize(
        ("step", "until"), [("LeaveRotation", "2027-11-21T03:00:00Z"), ("Restart", "2026-11-21T03:01:00Z")]
    )
    def test_the_grant(self, watchdog: Caller, own_incident: str, content: str, step: str, until: str) -> None:
        grant = {"step": step, "grantedAt": "2026-11-21T03:00:00Z", "expiresAt": until}
        body: dict[str, Any] = {"status": {"phase": "Acting", "grant": grant}}
        if content == APPLY:
            body |= {"apiVersion": names.API_VERSION, "kind": names.INCIDENT_KIND, "metadata": {"name": own_incident}}
        answer = watchdog.send("PATCH", f"{INCIDENTS}/{own_incident}/status", body, content=content)
        assert refused(answer, "only the operator writes status.grant")

    def test_status_without_the_grant(self, guarded: Guarded, watchdog: Caller, own_incident: str) -> None:
        document = guarded.read("llmi", own_incident)
        del document["status"]["grant"]
        answer = watchdog.send("PUT", f"{INCIDENTS}/{own_incident}/status", document)
        assert refused(answer, "only the operator writes status.grant")

    @pytest.mark.parametrize("key", ["labels", "annotations", "finalizers", "ownerReferences"])
    def test_metadata(self, watchdog: Caller, own_incident: str, key: str) -> None:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": OWN_POD, "uid": "1"}
        value = {"finalizers": ["example.com/never"], "ownerReferences": [owner]}.get(key, {"hidden": "yes"})
        body = {"metadata": {key: value}}
        answer = watchdog.send("PATCH", f"{INCIDENTS}/{own_incident}", body, content=MERGE)
        assert answer.status == 403
        # Where owners are guarded by the API server itself (OwnerReferencesPermissionEnforcement) it comes first.
        assert any(why in answer.message for why in ("metadata", "no others", "cannot set an ownerRef"))

    def test_taking_labels_away(self, watchdog: Caller, own_incident: str) -> None:
        body = {"metadata": {"labels": None}}
        answer = watchdog.send("PATCH", f"{INCIDENTS}/{own_incident}", body, content=MERGE)
        assert refused(answer, "may not change an incident's metadata")

    def test_deleting(self, watchdog: Caller, own_incident: str) -> None:
        assert refused_by_rbac(watchdog.send("DELETE", f"{INCIDENTS}/{own_incident}"))
        assert refused_by_rbac(watchdog.send("DELETE", INCIDENTS))
