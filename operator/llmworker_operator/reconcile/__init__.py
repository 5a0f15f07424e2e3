"""Two level-triggered passes over a worker: one over its incidents, which must be quick, one over everything else.

Only the first writes incidents. Each is run for one worker by one task at a time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from llmworker_operator.domain.worker import UnreadableWorker, Worker, WorkerKey
from llmworker_operator.reconcile.children import ChildWriter
from llmworker_operator.reconcile.detachment import settle_quarantine
from llmworker_operator.reconcile.evictions import EVICTION_PERIOD, evict_ordered
from llmworker_operator.reconcile.gather import gather
from llmworker_operator.reconcile.incidents import IncidentWriter
from llmworker_operator.reconcile.nodes import taint_nodes
from llmworker_operator.reconcile.pods import update_watchdogs, write_methods, write_references
from llmworker_operator.reconcile.rights import withdraw_undeserved
from llmworker_operator.reconcile.status import facts_of, write_status, write_unreadable

if TYPE_CHECKING:
    from llmworker_operator.reconcile.context import Context

AT_ONCE = timedelta(0)
"""A withdrawn grant frees a place, and the write was our own: no watch event brings news of it."""

SOON = timedelta(seconds=1)
"""After a conflict, or while a predecessor is being collected: the watch will bring the news, or has just done so."""

STALLED_PERIOD = timedelta(seconds=30)
"""What stands in the way is somebody else's: a foreign object, a quota, a webhook. Nobody wakes us when it goes."""

UPDATE_PERIOD = timedelta(seconds=5)
"""While watchdogs are being exchanged: the turn of this worker's pods depends on pods of other workers."""


async def reconcile_incidents(context: Context, key: WorkerKey) -> timedelta | None:
    """Grants, evictions, the end of lost and of old incidents, also of a worker that is gone. Raises KubeError.

    Returns after how long to look again, None if only for an event.
    """
    now = context.clock()
    writer = IncidentWriter(context, key, now)
    worker = context.cache.workers.get(key.namespace, key.name)
    if not isinstance(worker, Worker) or worker.deleting:
        await writer.close_gone(None)
        await writer.retain()
        return None
    await writer.close_gone(worker)
    decision = await writer.grant(worker)
    evicts = await evict_ordered(context, worker)
    await writer.retain()
    if writer.conflict:
        return SOON
    if decision.withdrawn:
        return AT_ONCE
    times = [at - now for at in (decision.recheck_at, writer.replaced_by) if at]
    return min([*times, *([evicts] if evicts else [])], default=None)


async def reconcile(context: Context, key: WorkerKey) -> timedelta | None:
    """Children, pods and status. A worker that is gone, or about to be, takes its children with it by their owner."""
    worker = context.cache.workers.get(key.namespace, key.name)
    if isinstance(worker, UnreadableWorker):
        await withdraw_undeserved(context, key)
        await write_unreadable(context, worker, context.clock())
    if worker is None:
        context.metrics.conditions.set(key, (), ())
    if not isinstance(worker, Worker) or worker.deleting:
        return None
    snapshot = await gather(context, worker)
    children = await ChildWriter(context, snapshot).run()
    await write_methods(context, snapshot)
    await write_references(context, snapshot)
    await settle_quarantine(context, snapshot)
    update = await update_watchdogs(context, snapshot)
    facts = facts_of(context, snapshot, children, update)
    await write_status(context, facts, snapshot.now)
    await taint_nodes(context, facts.suspect_nodes)
    waits = [SOON] if children.wait else []
    if any(incident.replacement for incident in snapshot.incidents):
        waits.append(EVICTION_PERIOD)
    if children.stalls:
        waits.append(STALLED_PERIOD)
    if update.under_way:
        waits.append(UPDATE_PERIOD)
    return min(waits, default=None)
