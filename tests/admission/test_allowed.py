"""What a watchdog needs to do works under the policies, with a token bound to its pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.api import names
from tests.admission.caller import APPLY, JSON_PATCH, MERGE, STRATEGIC
from tests.admission.objects import INCIDENTS, OWN_POD, condition, event, incident, new_event

if TYPE_CHECKING:
    from tests.admission.caller import Caller
    from tests.admission.conftest import Guarded

pytestmark = pytest.mark.apiserver

POD_STATUS = f"v1/pods/{OWN_POD}/status"


def rotation(guarded: Guarded) -> str | None:
    conditions = guarded.read("pod", OWN_POD)["status"]["conditions"]
    return next((each["status"] for each in conditions if each["type"] == names.ROTATION_GATE), None)


def test_create_an_incident_and_write_its_status(guarded: Guarded, watchdog: Caller, own_uid: str) -> None:
    document = incident(OWN_POD, own_uid)
    assert watchdog.send("POST", INCIDENTS, document).status == 201
    path = f"{INCIDENTS}/{document['metadata']['name']}/status"
    head = {key: document[key] for key in ("apiVersion", "kind")}
    for phase in ("AwaitingGrant", "Acting", "Verifying"):
        status = {"phase": phase, "reason": "NoFirstToken", "message": "no token in 5.0 s", "occurrences": 1}
        body = {**head, "metadata": {"name": document["metadata"]["name"]}, "status": status}
        assert watchdog.send("PATCH", path, body, content=APPLY).status == 200
    assert guarded.read("llmi", document["metadata"]["name"])["status"]["phase"] == "Verifying"


def test_create_an_incident_by_apply_twice(guarded: Guarded, watchdog: Caller, own_uid: str) -> None:
    """A watchdog that lost its memory writes the same again."""
    document = incident(OWN_POD, own_uid, sequence=102)
    path = f"{INCIDENTS}/{document['metadata']['name']}"
    assert watchdog.send("PATCH", path, document, content=APPLY).status == 201
    assert watchdog.send("PATCH", path, document, content=APPLY).status == 200


def test_write_status_beside_a_grant(guarded: Guarded, watchdog: Caller, own_incident: str) -> None:
    """The claim of a grant leaves the grant as the operator wrote it."""
    before = guarded.read("llmi", own_incident)
    claim = {"metadata": {"resourceVersion": before["metadata"]["resourceVersion"]}, "status": {"phase": "Acting"}}
    assert watchdog.send("PATCH", f"{INCIDENTS}/{own_incident}/status", claim, content=MERGE).status == 200
    assert guarded.read("llmi", own_incident)["status"] == {**before["status"], "phase": "Acting"}
    assert watchdog.send("PATCH", f"{INCIDENTS}/{own_incident}/status", claim, content=MERGE).status == 409


@pytest.mark.parametrize("content", [STRATEGIC, APPLY])
@pytest.mark.parametrize("status", ["True", "False"])
def test_write_own_rotation_condition(guarded: Guarded, watchdog: Caller, content: str, status: str) -> None:
    body: dict[str, Any] = {"status": {"conditions": [condition(names.ROTATION_GATE, status)]}}
    if content == APPLY:
        body |= {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": OWN_POD}}
    answer = watchdog.send("PATCH", POD_STATUS, body, content=content)
    assert answer.status == 200, answer.message
    assert rotation(guarded) == status


def test_conditions_may_change_their_order(guarded: Guarded, watchdog: Caller) -> None:
    conditions = guarded.read("pod", OWN_POD)["status"]["conditions"]
    body = [{"op": "replace", "path": "/status/conditions", "value": conditions[::-1]}]
    answer = watchdog.send("PATCH", POD_STATUS, body, content=JSON_PATCH)
    assert answer.status == 200, answer.message


def test_events_about_the_own_pod(guarded: Guarded, watchdog: Caller, own_uid: str) -> None:
    about = {"kind": "Pod", "name": OWN_POD, "namespace": guarded.namespace, "uid": own_uid}
    answer = watchdog.send("POST", "v1/events", event(guarded.namespace, about))
    assert answer.status == 201, answer.message
    answer = watchdog.send("POST", "events.k8s.io/v1/events", new_event(guarded.namespace, about))
    assert answer.status == 201, answer.message
    answer = watchdog.send("PATCH", "v1/events/qwen.1", {"count": 2}, content=MERGE)
    assert answer.status == 200, answer.message


@pytest.mark.parametrize("path", [f"v1/pods/{OWN_POD}", INCIDENTS, "llmworker.dev/v1alpha1/llmworkers"])
def test_reads(watchdog: Caller, path: str) -> None:
    assert watchdog.send("GET", path).status == 200


def test_others_are_not_concerned(guarded: Guarded, own_incident: str) -> None:
    """An administrator writes what a watchdog may not."""
    guarded.kubectl("label", "llmi", own_incident, "checked=yes")
    guarded.kubectl("annotate", "pod", OWN_POD, "--overwrite", "a=c")
