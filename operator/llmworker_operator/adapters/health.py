"""`/livez`, `/readyz` and `/metrics`. Liveness is judged from progress, and doubt answers yes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmworker_operator.adapters.lease import LeaseThread
    from llmworker_operator.adapters.metrics import Metrics
    from llmworker_operator.domain.worker import WorkerKey
    from llmworker_operator.queue import WorkQueue


class Progress:
    """What the loops report; read by the probes."""

    def __init__(
        self, lease: LeaseThread, queues: Sequence[WorkQueue[WorkerKey]], metrics: Metrics, *, stale: float
    ) -> None:
        self._lease = lease
        self._queues = queues
        self._metrics = metrics
        self._stale = stale
        self._tried_at = time.monotonic()
        self._relisted_at: float | None = None

    def tried(self) -> None:
        """A relist was begun: the loop turns, whatever the API server answers."""
        self._tried_at = time.monotonic()

    def relisted(self) -> None:
        self._relisted_at = time.monotonic()

    def relist_age(self) -> float:
        return time.monotonic() - (self._relisted_at or self._tried_at)

    def oldest(self) -> float:
        return max(queue.oldest_seconds() for queue in self._queues)

    def stuck(self) -> str:
        """Why a restart of this process would help, or nothing. An API server that is down is no reason."""
        if self._lease.attempt_age_seconds() > self._stale:
            return f"the lease loop has stood still for {self._lease.attempt_age_seconds():.0f} s"
        if not self._lease.held.is_set():
            return ""
        if time.monotonic() - self._tried_at > self._stale:
            return f"no relist was tried for {time.monotonic() - self._tried_at:.0f} s"
        if self.oldest() > self._stale:
            return f"a worker has waited for {self.oldest():.0f} s"
        return ""

    def unready(self) -> str:
        """A standby is ready: it waits for the lease, as it should."""
        if self._lease.held.is_set() and self._relisted_at is None:
            return "the cache is not complete yet"
        return ""

    def export(self) -> None:
        """Gauges of ages are computed when they are read."""
        self._metrics.leader.set(1 if self._lease.held.is_set() else 0)
        self._metrics.queued.set(sum(map(len, self._queues)))
        self._metrics.oldest.set(self.oldest())
        self._metrics.relist_age.set(self.relist_age())


async def serve(progress: Progress, metrics: Metrics, *, host: str, port: int) -> web.AppRunner:
    """Returns when it listens."""

    async def livez(_request: web.Request) -> web.Response:
        return _answer(progress.stuck())

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(progress.stuck() or progress.unready())

    async def exposition(_request: web.Request) -> web.Response:
        progress.export()
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", exposition)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def _answer(problem: str) -> web.Response:
    return web.Response(text=problem or "ok", status=503 if problem else 200)
