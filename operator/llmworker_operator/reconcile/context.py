"""What a pass works with, put together once in `__main__`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from llmworker_operator.adapters.cache import Cache
from llmworker_operator.adapters.events import EventPoster, Subject
from llmworker_operator.adapters.kube import Kube
from llmworker_operator.adapters.metrics import Metrics
from llmworker_operator.adapters.status_page import StatusPages
from llmworker_operator.reconcile.dissents import Dissents
from llmworker_operator.reconcile.refusals import Refusals
from llmworker_operator.reconcile.settled import Settled
from llmworker_operator.reconcile.unclaimed import Unclaimed
from llmworker_operator.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Passed in, never looked up."""

    kube: Kube
    cache: Cache
    settings: Settings
    metrics: Metrics
    events: EventPoster
    pages: StatusPages
    clock: Callable[[], datetime]
    dissents: Dissents = field(default_factory=Dissents)
    settled: Settled = field(default_factory=Settled)
    taint_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """How many nodes are tainted must not change between the look and the write."""
    refusals: Refusals = field(default_factory=Refusals)
    unclaimed: Unclaimed = field(default_factory=Unclaimed)
    update_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One watchdog update at a time over all workers; the choice and the write must not be torn apart."""

    def tell(self, subject: Subject, reason: str, note: str, *, warning: bool = False) -> None:
        """An Event about a worker or an incident."""
        host = self.settings.identity
        self.events.post(subject, reason=reason, note=note, warning=warning, now=self.clock(), host=host)
