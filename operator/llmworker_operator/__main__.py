"""Composition root: settings, clients, context, then run. Nothing else reads the environment or makes a client."""

from __future__ import annotations

import asyncio
import logging
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import kopf
from prometheus_client.registry import CollectorRegistry

from llmworker_operator.adapters.cache import Cache
from llmworker_operator.adapters.events import EventPoster
from llmworker_operator.adapters.health import Progress, serve
from llmworker_operator.adapters.kube import Kube, connect
from llmworker_operator.adapters.lease import LeaseThread
from llmworker_operator.adapters.logs import log_as_json
from llmworker_operator.adapters.metrics import Metrics
from llmworker_operator.adapters.status_page import StatusPages
from llmworker_operator.adapters.write_observer import crash_observers
from llmworker_operator.handlers import kopf_settings, registry_for
from llmworker_operator.loops import Loops
from llmworker_operator.queue import WorkQueue
from llmworker_operator.reconcile.context import Context
from llmworker_operator.settings import Settings

if TYPE_CHECKING:
    from llmworker_operator.domain.worker import WorkerKey

logger = logging.getLogger(__name__)


async def _lease_client(settings: Settings) -> Kube:
    """A pool of its own: the lease must not wait behind a relist."""
    return Kube(await connect(settings.kubeconfig), timeout_seconds=settings.lease_renew_deadline_seconds)


def _stop_on_signals() -> asyncio.Event:
    """Set by SIGTERM and SIGINT for as long as kopf does not listen to them; it takes them over when it starts."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _acquired(lease: LeaseThread, stop: asyncio.Event) -> bool:
    """False if told to stop before."""
    waits = [asyncio.create_task(lease.acquired()), asyncio.create_task(stop.wait())]
    _, unfinished = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in unfinished:
        task.cancel()
    return not stop.is_set()


async def lead(context: Context, loops: Loops, stop: asyncio.Event) -> None:
    """Until told to stop: by the event, or by a signal to kopf, which waits for the event in vain until it is set."""
    tasks = loops.start()
    try:
        await kopf.operator(
            registry=registry_for(context.settings, loops.observe, stop.set),
            settings=kopf_settings(context.settings),
            clusterwide=True,
            standalone=True,
            stop_flag=stop,
        )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _queue(settings: Settings) -> WorkQueue[WorkerKey]:
    return WorkQueue(backoff_seconds=settings.backoff_seconds, backoff_max_seconds=settings.backoff_max_seconds)


async def _context(settings: Settings, metrics: Metrics, lease: LeaseThread) -> Context:
    kube = Kube(
        await connect(settings.kubeconfig),
        timeout_seconds=settings.request_timeout_seconds,
        observers=[metrics, *crash_observers(settings.crash_at)],
        may_write=lease.still_leads,
    )
    return Context(
        kube=kube,
        cache=Cache(),
        settings=settings,
        metrics=metrics,
        events=EventPoster(kube),
        pages=StatusPages(timeout_seconds=settings.status_timeout_seconds),
        clock=lambda: datetime.now(UTC),
    )


async def run(settings: Settings) -> None:
    """Serve the probes, wait for the lease, lead."""
    stop = _stop_on_signals()
    metrics = Metrics(CollectorRegistry())
    passes, incidents = _queue(settings), _queue(settings)
    lease = LeaseThread(settings, lambda: _lease_client(settings))
    progress = Progress(lease, (passes, incidents), metrics, stale=settings.livez_stale_seconds)
    server = await serve(progress, metrics, host=settings.http_host, port=settings.http_port)
    lease.start()
    try:
        if await _acquired(lease, stop):
            progress.tried()
            context = await _context(settings, metrics, lease)
            try:
                await lead(context, Loops(context, passes, incidents, progress), stop)
            finally:
                await context.pages.close()
                await context.kube.close()
    finally:
        lease.stop()
        await server.cleanup()


def main() -> None:
    settings = Settings()
    log_as_json()
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
