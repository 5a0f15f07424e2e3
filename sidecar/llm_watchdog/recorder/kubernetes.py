"""The recorder of a replica in a cluster: incidents, gate and worker, each kept in step by its own task."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from llm_watchdog.recorder.incidents import IncidentSync
from llm_watchdog.recorder.pod import PodSync
from llm_watchdog.recorder.precautions import PrecautionSync
from llm_watchdog.recorder.seam import ClusterView
from llm_watchdog.recorder.worker import WorkerWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from llm_watchdog.core.case import Case
    from llm_watchdog.core.precaution import Precaution
    from llm_watchdog.core.rotation import Rotation
    from llm_watchdog.core.situation import Identity
    from llm_watchdog.recorder.kube import Kube

OWN_ERROR_PAUSE_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class KubernetesRecorder:
    """See `recorder.seam`."""

    def __init__(self, kube: Kube, who: Identity, now: Callable[[], datetime]) -> None:
        self.changed = asyncio.Event()
        self._kube = kube
        self._incidents = IncidentSync(kube, self.changed)
        self._precautions = PrecautionSync(kube, who)
        self._pod = PodSync(kube, who, now, self.changed)
        self._worker = WorkerWatch(kube, who, self.changed)
        self.own_errors = 0

    def submit(self, cases: Sequence[Case], rotation: Rotation, precaution: Precaution | None = None) -> None:
        """The record as it is to be from now on."""
        self._precautions.submit(precaution)
        self._incidents.submit(cases)
        self._pod.submit(rotation, alert=any(not case.closed for case in cases))

    def view(self) -> ClusterView:
        """The newest known."""
        return ClusterView(
            incidents=dict(self._incidents.views),
            acknowledged=dict(self._incidents.acknowledged),
            taken=dict(self._incidents.taken),
            gate=self._pod.gate,
            container_id=self._pod.container_id,
            container=self._pod.container,
            last_exit=self._pod.last_exit,
            reference=self._pod.reference,
            modes=self._worker.modes,
            power=self._worker.power,
            unreachable_since=self._kube.unreachable_since,
            has_operator=True,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for work in (
                    self._incidents.run,
                    self._incidents.watch,
                    self._precautions.run,
                    self._pod.run,
                    self._worker.run,
                ):
                    group.create_task(self._for_ever(work))
        finally:
            await self._kube.aclose()

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        """A mistake in one task must not take the others, or the watchdog, down with it."""
        while True:
            try:
                await work()
            except Exception:
                self.own_errors += 1
                log.exception("the recorder made a mistake")
                await asyncio.sleep(OWN_ERROR_PAUSE_SECONDS)
