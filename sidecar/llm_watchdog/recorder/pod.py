"""The own pod: the readiness gate, written until it says what it is to say, and the engine's container id."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.api import names
from llm_watchdog.core.situation import Gate
from llm_watchdog.recorder import documents
from llm_watchdog.recorder.kube import STRATEGIC, Backoff, Kube, KubeError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from llm_watchdog.core.container import EngineContainer
    from llm_watchdog.core.rotation import Rotation
    from llm_watchdog.core.situation import Identity
    from llm_watchdog.recorder.documents import PodView

IDLE_SECONDS: Final = 60.0
"""Between reads while nothing happens: a gate that somebody else changed is set right again."""
ALERT_SECONDS: Final = 1.0
"""The same while an incident is open and the engine's container id is wanted."""
FRESH: Final = 3.0
"""A container id read this many seconds ago may still be taken for the present one."""
RETRY_LONGEST_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


class PodSync:
    """`gate`, `container_id`, `container` and `reference` are for the loop to read."""

    def __init__(self, kube: Kube, who: Identity, now: Callable[[], datetime], changed: asyncio.Event) -> None:
        self._kube = kube
        self._pod = who.pod
        self._path = f"/api/v1/namespaces/{who.namespace}/pods/{who.pod.name}"
        self._now = now
        self._changed = changed
        self._wake = asyncio.Event()
        self._wanted: Rotation | None = None
        self._seen: PodView | None = None
        self._read_at: datetime | None = None
        self._alert = False
        self.failures = 0

    def submit(self, rotation: Rotation, *, alert: bool) -> None:
        """What the gate is to say; whether the container id is wanted fresh."""
        differs = self._wanted is None or (rotation.in_rotation, rotation.reason) != (
            self._wanted.in_rotation,
            self._wanted.reason,
        )
        if differs or alert != self._alert:
            self._wanted, self._alert = rotation, alert
            self._wake.set()

    @property
    def gate(self) -> Gate | None:
        """As the API server holds it."""
        return self._seen.gate if self._seen else None

    @property
    def container_id(self) -> str | None:
        """The engine's, if it was read a moment ago."""
        seen = self._fresh
        return seen.container_id if seen else None

    @property
    def container(self) -> EngineContainer | None:
        """What the kubelet says of it, if it was read a moment ago."""
        seen = self._fresh
        return seen.container if seen else None

    @property
    def _fresh(self) -> PodView | None:
        if self._seen is None or self._read_at is None or self._kube.unreachable_since is not None:
            return None
        return self._seen if (self._now() - self._read_at).total_seconds() <= FRESH else None

    @property
    def last_exit(self) -> str:
        """Why the engine's last container ended, as far as it was read."""
        return self._seen.last_exit if self._seen else ""

    @property
    def reference(self) -> str:
        """What most other replicas answer, as far as it was read."""
        return self._seen.reference if self._seen else ""

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff(RETRY_LONGEST_SECONDS)
        read = True
        while True:
            self._wake.clear()
            pause = ALERT_SECONDS if self._alert else IDLE_SECONDS
            try:
                await self._pass(read=read or self._alert)
                backoff.reset()
            except UnreachableError as error:
                log.info("gate waits for the API server: %s", error)
                pause = backoff.grow()
            except KubeError as error:
                log.warning("gate refused: %s", error)
                pause = backoff.grow()
                self.failures += 1
            try:
                async with asyncio.timeout(pause):  # not wait_for: in Python 3.11 it may swallow a cancellation
                    await self._wake.wait()
                read = self._seen is None
            except TimeoutError:
                read = True

    async def _pass(self, *, read: bool) -> None:
        wanted = self._wanted
        if read:
            self._hold(documents.pod_view(await self._kube.request("GET", self._path), self._now()))
        if wanted is None or self._seen is None or self._says(self._seen, wanted):
            return
        gate = self._seen.gate
        flips = gate is None or gate.in_rotation != wanted.in_rotation
        since = self._now() if flips or gate is None else gate.since
        patch = documents.gate_patch(self._pod, wanted, since)
        params = {"fieldManager": names.WATCHDOG_FIELD_MANAGER}
        answer = await self._kube.request(
            "PATCH", f"{self._path}/status", body=patch, content_type=STRATEGIC, params=params
        )
        # Stored with whole seconds; here the moment at which it was acknowledged.
        written = Gate(in_rotation=wanted.in_rotation, since=self._now() if flips else since)
        self._hold(replace(documents.pod_view(answer, self._now()), gate=written))

    @staticmethod
    def _says(seen: PodView, wanted: Rotation) -> bool:
        return seen.gate is not None and (seen.gate.in_rotation, seen.reason) == (wanted.in_rotation, wanted.reason)

    def _hold(self, seen: PodView) -> None:
        held = self._seen
        if held is not None and held.gate is not None and seen.gate is not None:
            unchanged = held.gate.in_rotation == seen.gate.in_rotation
            seen = replace(seen, gate=held.gate) if unchanged else seen
        self._read_at = self._now()
        if seen != held:
            self._seen = seen
            self._changed.set()
