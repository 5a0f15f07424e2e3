"""From the outcomes of a pass to the worker's status, written once and only if it differs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_watchdog.api import names
from llm_watchdog.api.reasons import RestartMethod
from llmworker_operator.adapters import resources
from llmworker_operator.adapters.errors import ConflictError, GoneError
from llmworker_operator.adapters.events import Subject
from llmworker_operator.domain.condition import ConditionType
from llmworker_operator.domain.conditions import dated, unreadable, worker_status
from llmworker_operator.domain.facts import Facts, Stall, StallReason
from llmworker_operator.domain.held import held_by
from llmworker_operator.domain.nodes import suspect_nodes
from llmworker_operator.domain.rollout import read_rollout
from llmworker_operator.reconcile.evictions import EVICTION_REFUSED
from llmworker_operator.reconcile.incidents import decide_for
from llmworker_operator.reconcile.revisions import taken_back

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from llmworker_operator.domain.snapshot import Snapshot
    from llmworker_operator.domain.watchdog_update import UpdateDecision
    from llmworker_operator.domain.worker import UnreadableWorker, Worker
    from llmworker_operator.reconcile.children import Outcome
    from llmworker_operator.reconcile.context import Context

logger = logging.getLogger(__name__)

RESTART_REMEDY = (
    "it takes a kubelet of at least 1.36, or the engine's liveness probe left to the operator, "
    "and a restartMethod that fits"
)

TOLD = frozenset(
    {
        ConditionType.STALLED,
        ConditionType.DEGRADED,
        ConditionType.REMEDIATION_HELD,
        ConditionType.ROLLED_BACK,
        ConditionType.LIMITED,
        ConditionType.NODE_SUSPECT,
        ConditionType.REPLICAS_DISAGREE,
        ConditionType.PAUSED,
        ConditionType.PAUSE_UNREADABLE,
    }
)

SAID_IN_WORDS = frozenset({ConditionType.LIMITED, ConditionType.NODE_SUSPECT, ConditionType.PAUSED})
"""The message has no numbers that change by themselves, and so each change of it is news."""


def facts_of(context: Context, snapshot: Snapshot, children: Outcome, update: UpdateDecision) -> Facts:
    """The cache is read again: it has what this pass wrote."""
    worker = snapshot.worker
    held, held_reason = _held(context, snapshot)
    stalls = list(children.stalls)
    if snapshot.admission_problems:
        message = f"the watchdogs have no rights: {'; '.join(snapshot.admission_problems)}"
        stalls.append(Stall(reason=StallReason.ADMISSION_POLICY, message=message))
    live = context.cache.children[resources.DEPLOYMENTS].get(worker.key.namespace, worker.key.name)
    return Facts(
        worker=worker,
        replicas=context.cache.replicas.of(worker.key),
        incidents=context.cache.incidents.of(worker.key),
        detached=[r for r in context.cache.detached(worker.key) if not r.terminating],
        rollout=read_rollout(live.document if live else None),
        stalls=stalls,
        waits="children of a deleted worker of this name are being collected" if children.wait else "",
        held=held,
        held_reason=held_reason,
        degraded=update.problem or update.waits,
        degraded_reason="WatchdogUpdateFailed" if update.problem else "WatchdogUpdateWaiting" if update.waits else "",
        rolled_back=taken_back(context, worker),
        dissents=context.dissents.of(worker.key),
        suspect_nodes=suspect_nodes(
            context.cache.incidents.of(worker.key),
            context.cache.replicas.of(worker.key),
            context.cache.kubelets(),
            context.settings.node_suspect,
            snapshot.now,
        ),
        pause=snapshot.pause,
    )


def _held(context: Context, snapshot: Snapshot) -> tuple[str, str]:
    """Waiting for its turn is ordinary; these are not."""
    if snapshot.admission_problems:
        return "no rights without the admission policies", StallReason.ADMISSION_POLICY.value
    unavailable = [
        r.name
        for r in context.cache.replicas.of(snapshot.worker.key)
        if r.restart_method == RestartMethod.UNAVAILABLE and not r.terminating
    ]
    decision = decide_for(context, snapshot.worker, snapshot.now)
    by_decision = held_by(decision)
    if by_decision:
        return by_decision
    refused = context.refusals.of(snapshot.worker.key)
    if refused:
        return "; ".join(refused[name] for name in sorted(refused)), EVICTION_REFUSED
    if unavailable:
        message = f"no way to restart {', '.join(sorted(unavailable))}: {RESTART_REMEDY}"
        return message, "RestartUnavailable"
    return "", ""


async def write_status(context: Context, facts: Facts, now: datetime) -> None:
    selector = f"{names.LABEL_WORKER}={facts.worker.key.name}"
    await _write(context, facts.worker, worker_status(facts, selector, now))


async def write_unreadable(context: Context, worker: UnreadableWorker, now: datetime) -> None:
    previous = worker.status.get("conditions") or ()
    conditions = dated(unreadable(worker.problem, context.cache.cluster_pause()), previous, worker.generation, now)
    kept = {key: value for key, value in worker.status.items() if key in {"replicas", "readyReplicas", "selector"}}
    await _write(context, worker, {**kept, "observedGeneration": worker.generation, "conditions": conditions})


async def _write(context: Context, worker: Worker | UnreadableWorker, status: Mapping[str, Any]) -> None:
    context.metrics.conditions.set(worker.key, status["conditions"], TOLD)
    if status == worker.status:
        return
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.WORKER_KIND,
        "metadata": {"name": worker.key.name, "namespace": worker.key.namespace, "uid": worker.uid},
        "status": status,
    }
    try:
        answer = await context.kube.apply(resources.WORKERS, manifest, subresource="status")
    except (ConflictError, GoneError):
        return
    context.cache.answered(resources.WORKERS, answer)
    for change in transitions(worker.status, status):
        _say(context, worker, change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A condition that is not as it was."""

    type: str
    status: str
    reason: str
    message: str


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Transition]:
    """By status and reason; numbers in most messages change all the time."""
    old = {c["type"]: c for c in before.get("conditions") or ()}
    new = {c["type"]: c for c in after["conditions"]}
    changed = [
        Transition(type=kind, status=c["status"], reason=c["reason"], message=c["message"])
        for kind, c in new.items()
        if kind not in old or any(old[kind][key] != c[key] for key in _telling(kind))
    ]
    gone = [
        Transition(type=kind, status="absent", reason="Over", message="") for kind in sorted(old.keys() - new.keys())
    ]
    return changed + gone


def _telling(kind: str) -> tuple[str, ...]:
    return ("status", "reason", "message") if kind in SAID_IN_WORDS else ("status", "reason")


def _say(context: Context, worker: Worker | UnreadableWorker, change: Transition) -> None:
    """A line for each; an Event for what a person may have to act on."""
    extra = {"namespace": worker.key.namespace, "worker": worker.key.name, "reason": change.reason}
    logger.info("condition %s is %s", change.type, change.status, extra={**extra, "detail": change.message})
    if change.type not in TOLD:
        return
    over = change.status == "absent"
    reason = f"{change.type}Over" if over else change.reason
    note = f"no longer {change.type}" if over else f"{change.type}: {change.message}"
    subject = Subject.worker(worker)
    context.tell(subject, reason, note, warning=not over)
