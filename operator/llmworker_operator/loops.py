"""What runs while this process leads: reconcile workers, relist, a look at the switch.

Errors end here and are counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from llmworker_operator.adapters import resources
from llmworker_operator.adapters.errors import KubeError
from llmworker_operator.adapters.relist import ORDER, relist
from llmworker_operator.reconcile import reconcile, reconcile_incidents
from llmworker_operator.reconcile.comparing import compare_all
from llmworker_operator.reconcile.switch import look_at_switch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import timedelta

    from llmworker_operator.adapters.health import Progress
    from llmworker_operator.adapters.resources import Resource
    from llmworker_operator.domain.worker import WorkerKey
    from llmworker_operator.queue import WorkQueue
    from llmworker_operator.reconcile.context import Context

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 2.0
"""How long a pass waits while requests for grants do: long enough for hundreds, short enough to starve nobody."""

RESYNC_EVERY: Final = 10
"""Relists after which every worker is looked at, changed or not: what depends on the date alone, such as retention."""


class Loops:
    """Joins cache, queues and passes. Incidents have a queue of their own: a grant waits behind no rollout."""

    def __init__(
        self, context: Context, passes: WorkQueue[WorkerKey], incidents: WorkQueue[WorkerKey], progress: Progress
    ) -> None:
        self._context = context
        self._passes = passes
        self._incidents = incidents
        self._progress = progress
        self._complete = asyncio.Event()

    def start(self) -> list[asyncio.Task[None]]:
        """All of them, to be cancelled by the caller."""
        count = self._context.settings.reconcile_workers
        lanes = ((self._incidents, reconcile_incidents), (self._passes, reconcile))
        workers = [self._work_forever(queue, one_pass) for queue, one_pass in lanes for _ in range(count)]
        return [
            asyncio.create_task(work)
            for work in (
                self._relist_forever(),
                self._look_at_switch_forever(),
                self._compare_forever(),
                self._context.events.post_forever(),
                *workers,
            )
        ]

    def observe(self, resource: Resource, event: Mapping[str, Any]) -> None:
        """A watch event: into the cache, and whoever it concerns into the queues."""
        document = event["object"]
        if event["type"] == "DELETED":
            keys = self._context.cache.removed(resource, document)
        else:
            keys = self._context.cache.put(resource, document)
        self._wake(keys, grants=resource not in resources.CHILDREN)

    def _wake(self, keys: Iterable[WorkerKey], *, grants: bool) -> None:
        for key in keys:
            if grants:
                self._incidents.add(key)
            self._passes.add(key)

    async def _relist_forever(self) -> None:
        """The first complete one lets the passes start, not before the switch of the whole cluster was read."""
        rounds = 0
        while True:
            self._progress.tried()
            try:
                await self._relist(everybody=rounds % RESYNC_EVERY == 0)
                rounds += 1
                delay = self._context.settings.relist_seconds
            except KubeError as error:
                logger.warning("the relist failed: %s", error.message)
                delay = self._context.settings.backoff_seconds
            except Exception:
                logger.exception("the relist failed unexpectedly")
                self._context.metrics.loop_errors.labels(place="relist").inc()
                delay = self._context.settings.backoff_seconds
            await asyncio.sleep(delay)

    async def _look_at_switch_forever(self) -> None:
        """Beside the relist, which takes long where there is much."""
        await self._complete.wait()
        while True:
            await asyncio.sleep(self._context.settings.pause_poll_seconds)
            try:
                self._wake(await look_at_switch(self._context), grants=True)
            except KubeError as error:
                logger.warning("the switch of the whole cluster cannot be read: %s", error.message)
            except Exception:
                logger.exception("the look at the switch of the whole cluster failed unexpectedly")
                self._context.metrics.loop_errors.labels(place="switch").inc()

    async def _compare_forever(self) -> None:
        """Replicas with one another, worker by worker."""
        period = self._context.settings.compare_replicas_seconds
        await self._complete.wait()
        while period > 0:
            try:
                self._wake(await compare_all(self._context), grants=False)
            except Exception:
                logger.exception("the comparison of replicas failed unexpectedly")
                self._context.metrics.loop_errors.labels(place="comparison").inc()
            await asyncio.sleep(period)

    async def _relist(self, *, everybody: bool) -> None:
        began = time.monotonic()
        context = self._context
        changed: set[WorkerKey] = set()
        for resource in ORDER:
            changed |= await relist(context.kube, context.cache, resource, chunk=context.settings.relist_chunk)
        if self._complete.is_set() and changed:
            context.metrics.healed.inc(len(changed))
        self._wake(context.cache.known() if everybody else changed, grants=True)
        self._wake(await look_at_switch(context), grants=True)
        context.metrics.relist_seconds.observe(time.monotonic() - began)
        context.metrics.cache_sizes(context.cache.sizes())
        self._progress.relisted()
        self._complete.set()

    async def _work_forever(
        self,
        queue: WorkQueue[WorkerKey],
        one_pass: Callable[[Context, WorkerKey], Awaitable[timedelta | None]],
    ) -> None:
        """One of several; a key is never worked on by two of a queue at once."""
        await self._complete.wait()
        seconds = self._context.metrics.reconcile_seconds.labels(name=one_pass.__name__)
        while True:
            key = await queue.get()
            if queue is self._passes:
                await self._let_incidents_go_first()
            with seconds.time():
                result = await self._attempt(queue, key, one_pass(self._context, key))
            self._context.metrics.reconciles.labels(name=one_pass.__name__, result=result).inc()

    async def _let_incidents_go_first(self) -> None:
        """One event loop serves both: a burst of requests for grants is answered before their effects are written."""
        end = time.monotonic() + PATIENCE_SECONDS
        while len(self._incidents) and time.monotonic() < end:  # noqa: ASYNC110 - no event to wait for is worth it
            await asyncio.sleep(PATIENCE_SECONDS / 100)

    async def _attempt(self, queue: WorkQueue[WorkerKey], key: WorkerKey, one_pass: Awaitable[timedelta | None]) -> str:
        where = {"namespace": key.namespace, "worker": key.name}
        try:
            after = await one_pass
        except KubeError as error:
            delay = queue.failed(key)
            logger.warning("pass failed, again in %.1f s: %s", delay, error.message, extra=where)
            return "failed"
        except Exception:
            queue.failed(key)
            self._context.metrics.loop_errors.labels(place="reconcile").inc()
            logger.exception("pass failed unexpectedly", extra=where)
            return "unexpected"
        queue.done(key)
        if after is not None:
            queue.add_after(key, after.total_seconds())
        return "done"
