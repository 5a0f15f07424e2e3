"""Snapshot to plan: which children differ, which pods and incidents are to be written. Pure but for its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmworker_operator.builders.comparison import holds
from llmworker_operator.builders.configmap import policy_config_map
from llmworker_operator.builders.controllerrevision import revision_name
from llmworker_operator.builders.pdb import disruption_budget
from llmworker_operator.builders.rolebinding import role_binding
from llmworker_operator.builders.service import service
from llmworker_operator.builders.serviceaccount import service_account
from llmworker_operator.domain.child import Ownership
from llmworker_operator.domain.facts import Stall, StallReason
from llmworker_operator.domain.restart_method import restart_method

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from llmworker_operator.domain.child import Child
    from llmworker_operator.domain.replica import Replica
    from llmworker_operator.domain.snapshot import Snapshot

SHARED = frozenset({"ServiceAccount", "RoleBinding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Of one wanted manifest."""

    apply: bool = False
    stall: Stall | None = None
    wait: bool = False
    """Its predecessor is being collected."""


def wanted_children(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Everything but the Deployment and its revision, in the order in which pods need them."""
    worker, namespace = snapshot.worker, snapshot.worker.key.namespace
    rights = [] if snapshot.admission_problems else [role_binding(namespace, snapshot.neighbours)]
    return [
        service_account(namespace, snapshot.neighbours),
        *rights,
        policy_config_map(worker, snapshot.pause),
        service(worker),
        disruption_budget(worker),
    ]


def rights_to_withdraw(admission_problems: Collection[str], binding: Child | None) -> Child | None:
    """Ours, and no longer deserved."""
    if not admission_problems or binding is None or binding.shared_ownership() is Ownership.FOREIGN:
        return None
    return binding


def judge(snapshot: Snapshot, manifest: Mapping[str, Any]) -> Verdict:
    """Apply it, leave it, or keep off what is not ours."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    live = snapshot.children.get((kind, name))
    if live is None:
        return Verdict(apply=True)
    match live.shared_ownership() if kind in SHARED else live.ownership(snapshot.worker.uid):
        case Ownership.FOREIGN:
            message = (
                f"{kind} {name} exists and is not this worker's: it is left alone. "
                f"Delete or rename it, or give the worker another name"
            )
            return Verdict(stall=Stall(reason=StallReason.NAME_TAKEN, message=message))
        case Ownership.PREDECESSOR:
            return Verdict(wait=True)
        case Ownership.OURS:
            return Verdict(
                apply=not holds(manifest, {**live.document, "kind": kind, "apiVersion": manifest["apiVersion"]})
            )


def stored_template(snapshot: Snapshot, digest: str) -> Mapping[str, Any] | None:
    """What was rendered from this very template before, by whatever version of the operator."""
    worker = snapshot.worker
    revision = snapshot.children.get(("ControllerRevision", revision_name(worker.key.name, digest)))
    if revision is None or revision.ownership(worker.uid) is not Ownership.OURS:
        return None
    template: Mapping[str, Any] = revision.document["data"]["template"]
    return template


def methods_to_write(snapshot: Snapshot) -> list[tuple[Replica, str]]:
    """Scheduled pods whose annotation does not say how `Restart` is done there."""
    choice = snapshot.worker.watchdog.remediation.restart_method
    due = []
    for replica in snapshot.replicas:
        kubelet = snapshot.kubelets.get(replica.node)
        if replica.terminating or kubelet is None:
            continue
        method = restart_method(replica, kubelet, choice).value
        if method != replica.restart_method:
            due.append((replica, method))
    return due
