"""What a pass wants to write, from a snapshot."""

from __future__ import annotations

from typing import Any

from llm_watchdog.api import names
from llmworker_operator.builders.rolebinding import role_binding
from llmworker_operator.builders.service import service
from llmworker_operator.domain.child import Child, read_child
from llmworker_operator.domain.facts import StallReason
from llmworker_operator.domain.snapshot import Snapshot
from llmworker_operator.reconcile.plan import judge, methods_to_write, rights_to_withdraw, wanted_children
from tests.operator.making import NOW, replica, worker

RIGHTS = ("RoleBinding", names.WATCHDOG_SERVICE_ACCOUNT)


def snapshot(**fields: Any) -> Snapshot:
    given = {
        "worker": worker(),
        "neighbours": [worker()],
        "replicas": [],
        "incidents": [],
        "children": {},
        "kubelets": {"n1": "v1.36.3"},
        "admission_problems": [],
        "now": NOW,
    }
    return Snapshot(**{**given, **fields})


def live(manifest: dict[str, Any], **metadata: Any) -> Child:
    return read_child({**manifest, "metadata": {**manifest["metadata"], "uid": "live", **metadata}})


def of_service(child: Child) -> Snapshot:
    return snapshot(children={("Service", "qwen"): child})


def test_absent_is_applied() -> None:
    assert judge(snapshot(), service(worker())).apply


def test_equal_is_left_alone() -> None:
    made = service(worker())
    stored = {**made, "spec": {**made["spec"], "clusterIP": "10.0.0.1"}}
    assert not judge(of_service(live(stored)), made).apply


def test_drift_is_undone() -> None:
    made = service(worker())
    edited = {**made, "spec": {**made["spec"], "selector": {"app": "mine"}}}
    assert judge(of_service(live(edited)), made).apply


def test_a_field_that_is_no_longer_wanted_is_taken_away() -> None:
    made = service(worker())
    before = service(worker(engine={"type": "openai", "port": 9}))
    stored = {**made, "metadata": {**made["metadata"], "annotations": before["metadata"]["annotations"]}}
    assert judge(of_service(live(stored)), made).apply


def test_foreign_is_left_alone_and_said() -> None:
    verdict = judge(of_service(live(service(worker()), ownerReferences=[])), service(worker()))
    assert not verdict.apply
    assert verdict.stall
    assert verdict.stall.reason is StallReason.NAME_TAKEN
    assert "Service qwen" in verdict.stall.message


def test_somebody_elses_deployment_is_foreign_too() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "uid-qwen-2"}
    assert judge(of_service(live(service(worker()), ownerReferences=[owner])), service(worker())).stall


def test_a_predecessors_child_is_waited_for() -> None:
    owner = {"apiVersion": names.API_VERSION, "kind": names.WORKER_KIND, "name": "qwen", "uid": "uid-before"}
    verdict = judge(of_service(live(service(worker()), ownerReferences=[owner])), service(worker()))
    assert verdict.wait
    assert not verdict.apply


def test_rights_only_while_the_policies_are_in_force() -> None:
    assert "RoleBinding" in {m["kind"] for m in wanted_children(snapshot())}
    assert "RoleBinding" not in {m["kind"] for m in wanted_children(snapshot(admission_problems=["edited"]))}


def test_rights_are_withdrawn() -> None:
    ours = live(role_binding("demo", [worker()]))
    foreign = live(role_binding("demo", []))
    assert rights_to_withdraw([], ours) is None
    assert rights_to_withdraw(["edited"], ours) is ours
    assert rights_to_withdraw(["edited"], foreign) is None


def test_methods_are_written_to_scheduled_pods_once() -> None:
    written = replica("a", restart_method="Unavailable")
    waiting = replica("b", node="")
    going = replica("c", terminating=True)
    due = replica("d")
    replicas = [written, waiting, going, due]
    assert methods_to_write(snapshot(replicas=replicas)) == [(due, "Unavailable")]
