"""The flush after a wake as an Event about the own pod: it belongs to no incident, and is told all the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from llm_watchdog.recorder import documents, events
from llm_watchdog.recorder.kube import Backoff, Kube, KubeError, UnreachableError

if TYPE_CHECKING:
    from llm_watchdog.core.precaution import Precaution
    from llm_watchdog.core.situation import Identity


class PrecautionSync:
    """The journal holds the newest one until the next sleep, so a watchdog that was killed tells it again: once."""

    def __init__(self, kube: Kube, who: Identity) -> None:
        self._kube = kube
        self._who = who
        self._wake = asyncio.Event()
        self._untold: Precaution | None = None
        self._submitted: Precaution | None = None

    def submit(self, precaution: Precaution | None) -> None:
        """As it stands."""
        if precaution != self._submitted:
            self._submitted = precaution
            if precaution is not None and not precaution.pending:
                self._untold = precaution
                self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff()
        while True:
            await self._wake.wait()
            precaution = self._untold
            if precaution is None:
                self._wake.clear()
                continue
            try:
                await events.post(self._kube, documents.precaution_event(self._who, precaution))
            except (KubeError, UnreachableError):
                await backoff.wait()
                continue
            backoff.reset()
            if self._untold is precaution:
                self._untold = None
