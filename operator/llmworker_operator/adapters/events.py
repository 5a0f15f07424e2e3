"""Kubernetes Events about workers and incidents, for `kubectl describe`.

The record is elsewhere: one that is lost is no loss, so no failure here ever stops a pass.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names
from llmworker_operator.adapters.errors import KubeError
from llmworker_operator.adapters.resources import EVENTS
from llmworker_operator.domain.storm import Storm
from llmworker_operator.domain.times import write_time

if TYPE_CHECKING:
    from datetime import datetime

    from llmworker_operator.adapters.kube import Kube
    from llmworker_operator.domain.record import IncidentView
    from llmworker_operator.domain.worker import UnreadableWorker, Worker

logger = logging.getLogger(__name__)

QUEUED_MAX: Final = 1000
STORMS_MAX: Final = 10_000
NOTE_MAX: Final = 1024
"""The API server's bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an Event is about."""

    kind: str
    namespace: str
    name: str
    uid: str

    @classmethod
    def worker(cls, worker: Worker | UnreadableWorker) -> Subject:
        return cls(kind=names.WORKER_KIND, namespace=worker.key.namespace, name=worker.key.name, uid=worker.uid)

    @classmethod
    def incident(cls, incident: IncidentView, namespace: str) -> Subject:
        return cls(kind=names.INCIDENT_KIND, namespace=namespace, name=incident.name, uid=incident.uid)


def event(subject: Subject, *, reason: str, note: str, warning: bool, now: datetime, host: str) -> dict[str, Any]:
    """Named after its moment, so that two never collide."""
    about = {"kind": subject.kind, "namespace": subject.namespace, "name": subject.name, "uid": subject.uid}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{subject.name}.{int(now.timestamp() * 1e6):x}", "namespace": subject.namespace},
        "involvedObject": {"apiVersion": names.API_VERSION, **about},
        "reason": reason,
        "message": note[:NOTE_MAX],
        "type": "Warning" if warning else "Normal",
        "firstTimestamp": write_time(now),
        "lastTimestamp": write_time(now),
        "count": 1,
        "source": {"component": names.OPERATOR_FIELD_MANAGER},
        "reportingComponent": names.OPERATOR_FIELD_MANAGER,
        "reportingInstance": host,
    }


class EventPoster:
    """Posts behind the back of the passes: a grant does not wait for an Event, and an outage piles none up."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(QUEUED_MAX)
        self._storms: dict[tuple[str, str], Storm] = {}

    def post(self, subject: Subject, *, reason: str, note: str, warning: bool, now: datetime, host: str) -> None:
        """Beyond the bound it is dropped, and so are repetitions in between (`domain.storm`)."""
        storm = self._another(subject, reason, now)
        if not storm.told or self._queue.full():
            return
        times = f" ({storm.count} times since {storm.first:%H:%M:%S})" if storm.count > 1 else ""
        note = note[: NOTE_MAX - len(times)] + times
        self._queue.put_nowait(event(subject, reason=reason, note=note, warning=warning, now=now, host=host))

    def _another(self, subject: Subject, reason: str, now: datetime) -> Storm:
        """The memory is bounded by what is said within an hour, or by starting it anew."""
        if len(self._storms) >= STORMS_MAX:
            self._storms = {key: storm for key, storm in self._storms.items() if not storm.over(now)}
            if len(self._storms) >= STORMS_MAX:
                self._storms.clear()
        key = (subject.uid or subject.name, reason)
        before = self._storms.get(key)
        self._storms[key] = before.again(now) if before else Storm.begin(now)
        return self._storms[key]

    async def post_forever(self) -> None:
        """Each is tried once."""
        while True:
            document = await self._queue.get()
            try:
                await self._kube.create(EVENTS, document)
            except KubeError as error:
                logger.info("an event was not posted: %s", error.message)
