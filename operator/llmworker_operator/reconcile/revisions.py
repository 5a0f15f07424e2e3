"""Which template the Deployment gets: that of the spec, or the last good one. Decided in `domain.rollback`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from llm_watchdog.api.document import encode
from llm_watchdog.api.policy import RollbackChoice
from llm_watchdog.api.reasons import Mode
from llmworker_operator.adapters import resources
from llmworker_operator.builders.metadata import digest
from llmworker_operator.builders.pod_template import spec_hash
from llmworker_operator.domain.child import Ownership
from llmworker_operator.domain.grants import effective_mode
from llmworker_operator.domain.rollback import Marks, Revision, choose, read_marks, standing_of
from llmworker_operator.domain.rollout import last_change, read_rollout
from llmworker_operator.reconcile.incidents import decide_for

if TYPE_CHECKING:
    from llmworker_operator.domain.brake import Brake
    from llmworker_operator.domain.snapshot import Snapshot
    from llmworker_operator.domain.worker import Worker
    from llmworker_operator.reconcile.context import Context


def revision_of(worker: Worker) -> Revision:
    """What the present spec asks for."""
    return Revision(template=spec_hash(worker), engine=digest(encode(worker.engine)))


def choose_revision(context: Context, snapshot: Snapshot) -> Marks:
    """For this pass."""
    worker = snapshot.worker
    live = snapshot.children.get(("Deployment", worker.key.name))
    document = live.document if live is not None and live.ownership(worker.uid) is Ownership.OURS else None
    marks, remediation = read_marks(document), worker.watchdog.remediation
    automatic = remediation.brake.rollback is RollbackChoice.AUTOMATIC
    standing = standing_of(
        marks,
        complete=read_rollout(document).complete,
        change=last_change(document),
        after_rollout=timedelta(seconds=remediation.brake.after_rollout),
        brakes=_brakes(context, snapshot) if automatic else (),
        incidents=snapshot.incidents,
        replicas=snapshot.replicas,
        now=snapshot.now,
    )
    return choose(
        revision_of(worker),
        marks,
        standing,
        automatic=automatic,
        stored=_stored(snapshot),
        now=snapshot.now,
    )


def _brakes(context: Context, snapshot: Snapshot) -> list[Brake]:
    """Those that may have consequences: none while the worker, or the whole cluster, is paused, nor under `Observe`."""
    policy = context.cache.policy_of(snapshot.worker)
    if policy.paused is not None:
        return []
    brakes = decide_for(context, snapshot.worker, snapshot.now).brakes
    return [b for b in brakes if b.trial is not None and effective_mode(policy, b.trial.fault) is Mode.ENFORCE]


def _stored(snapshot: Snapshot) -> set[str]:
    """Digests of the templates that can be used again."""
    worker = snapshot.worker
    return {
        name.removeprefix(f"{worker.key.name}-")
        for (kind, name), child in snapshot.children.items()
        if kind == resources.REVISIONS.kind and child.ownership(worker.uid) is Ownership.OURS
    }


def taken_back(context: Context, worker: Worker) -> str:
    """Why the present spec's template is not in force; empty: it is."""
    live = context.cache.children[resources.DEPLOYMENTS].get(worker.key.namespace, worker.key.name)
    if live is None or live.ownership(worker.uid) is not Ownership.OURS:
        return ""
    marks = read_marks(live.document)
    return marks.because if marks.refused == revision_of(worker) else ""
