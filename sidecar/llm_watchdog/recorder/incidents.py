"""Incidents into the API, level-triggered: created, their status applied, their Events told, until all is acknowledged.

Claiming a grant is the one write with a precondition: the resourceVersion in which the grant was seen.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names
from llm_watchdog.api.reasons import Phase
from llm_watchdog.core.case import Stage
from llm_watchdog.recorder import documents, events
from llm_watchdog.recorder.kube import APPLY, Backoff, Kube, KubeError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_watchdog.api.incident import Incident
    from llm_watchdog.core.case import Case
    from llm_watchdog.core.situation import IncidentView

APPLY_PARAMS: Final = {"fieldManager": names.WATCHDOG_FIELD_MANAGER, "force": "true"}
LOOK_AGAIN_SECONDS: Final = 5.0
"""While a grant is awaited: a watch that died in silence must not cost more than this."""
RETRY_LONGEST_SECONDS: Final = 3.0
"""Between attempts while the API server cannot be reached; the record is to arrive soon after its return."""
NOT_FOUND: Final = 404

log = logging.getLogger(__name__)


class IncidentSync:
    """`views`, `acknowledged` and `taken` are for the loop to read."""

    def __init__(self, kube: Kube, changed: asyncio.Event) -> None:
        self._kube = kube
        self._changed = changed
        self._wake = asyncio.Event()
        self._open = asyncio.Event()
        self._cases: tuple[Case, ...] = ()
        self._created: set[str] = set()
        self._applied: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()
        self.views: dict[str, IncidentView] = {}
        self.acknowledged: dict[str, int] = {}
        self.taken: dict[str, Incident] = {}
        self.failures = 0

    def submit(self, cases: Sequence[Case]) -> None:
        """The record as it is to be."""
        submitted = tuple(cases)
        if submitted != self._cases:
            self._cases = submitted
            self._wake.set()
            if any(not case.closed for case in submitted):
                self._open.set()
            else:
                self._open.clear()

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff(RETRY_LONGEST_SECONDS)
        while True:
            self._wake.clear()
            complete = await self._pass()
            if complete:
                backoff.reset()
            waiting = any(case.stage in (Stage.AWAITING, Stage.CLAIMING) for case in self._cases)
            pause = (LOOK_AGAIN_SECONDS if waiting else None) if complete else backoff.grow()
            try:
                async with asyncio.timeout(pause):  # not wait_for: in Python 3.11 it may swallow a cancellation
                    await self._wake.wait()
            except TimeoutError:
                if complete:
                    await self._look_again()

    async def watch(self) -> None:
        """Grants, as soon as they are given. One connection, only while an incident is open."""
        backoff = Backoff()
        while True:
            await self._open.wait()
            case = next(case for case in self._cases if not case.closed)
            spec = case.incident.spec
            path = documents.incidents_path(case.incident.namespace)
            try:
                selector = {"labelSelector": f"{names.LABEL_POD_UID}={spec.pod_ref.uid}"}
                async with aclosing(self._kube.watch(path, selector)) as changes:
                    async for kind, document in changes:
                        backoff.reset()
                        self._seen(kind, document)
                        if not self._open.is_set():
                            break
            except (KubeError, UnreachableError) as error:
                log.info("watch of incidents: %s", error)
            await backoff.wait()

    def _seen(self, kind: str, document: dict[str, Any]) -> None:
        if kind in ("ADDED", "MODIFIED"):
            self._hold(document)

    def _hold(self, document: dict[str, Any]) -> None:
        """Keep the newest. An object's versions only grow, and answers may overtake each other."""
        name, found = document["metadata"]["name"], documents.view(document)
        held = self.views.get(name)
        if held is not None and int(found.resource_version) <= int(held.resource_version):
            return
        self.views[name] = found
        self._changed.set()
        if any(case.name == name and case.stage is Stage.CLAIMING for case in self._cases):
            self._wake.set()

    async def _look_again(self) -> None:
        for case in self._cases:
            if case.stage in (Stage.AWAITING, Stage.CLAIMING):
                await self._guarded(self._read(case))

    async def _pass(self) -> bool:
        """One attempt at everything; True when nothing is left to do."""
        results = [await self._guarded(self._sync(case)) for case in self._cases]
        known = {case.name for case in self._cases}
        for kept in (self.views, self.acknowledged, self._applied, self.taken):
            for name in kept.keys() - known:
                del kept[name]
        return all(results)

    async def _guarded(self, work: Any) -> bool:
        try:
            await work
        except UnreachableError as error:
            log.info("record waits for the API server: %s", error)
        except KubeError as error:
            log.warning("record refused: %s", error)
        else:
            return True
        self.failures += 1
        self._changed.set()
        return False

    async def _sync(self, case: Case) -> None:
        taken = self.taken.get(case.name)
        if taken is not None and taken.spec != case.incident.spec:
            return
        if case.name not in self._created:
            await self._create(case)
        if case.name not in self._created:
            return
        if case.stage is Stage.CLAIMING:
            await self._claim(case)
        elif self._applied.get(case.name) != case.revision:
            await self._apply(case)
        await self._tell(case)
        if self._applied.get(case.name) == case.revision != self.acknowledged.get(case.name):
            self.acknowledged[case.name] = case.revision
            self._changed.set()

    async def _create(self, case: Case) -> None:
        try:
            made = await self._kube.request(
                "POST",
                documents.incidents_path(case.incident.namespace),
                body=documents.incident(case),
                params={"fieldManager": names.WATCHDOG_FIELD_MANAGER},
            )
        except KubeError as error:
            if error.status != documents.CONFLICT:
                raise
            made = await self._read(case)
        if made["spec"] != documents.incident(case)["spec"]:
            log.warning("incident %s exists already and is another one", case.name)
            self.taken[case.name] = documents.read_incident(made)
            self._changed.set()
            return
        self._created.add(case.name)
        self._hold(made)

    async def _read(self, case: Case) -> dict[str, Any]:
        document = await self._on_existing(case, "GET", documents.incidents_path(case.incident.namespace, case.name))
        self._hold(document)
        return document

    async def _apply(self, case: Case, resource_version: str | None = None) -> None:
        path = documents.incidents_path(case.incident.namespace, case.name, "status")
        body = documents.status(case, resource_version=resource_version)
        answer = await self._on_existing(case, "PATCH", path, body=body, content_type=APPLY, params=APPLY_PARAMS)
        self._applied[case.name] = case.revision
        self._hold(answer)

    async def _on_existing(self, case: Case, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """An incident that somebody deleted is created again: the record is this pod's to keep."""
        try:
            return await self._kube.request(method, path, **kwargs)
        except KubeError as error:
            if error.status == NOT_FOUND:
                self._created.discard(case.name)
                self.views.pop(case.name, None)
            raise

    async def _claim(self, case: Case) -> None:
        """Only against the very version in which the grant stands. The answer, or the next look, tells how it went."""
        view = self.views.get(case.name)
        if view is None or view.phase is not Phase.AWAITING_GRANT or view.grant is None:
            await self._read(case)
            return
        try:
            await self._apply(case, resource_version=view.resource_version)
        except KubeError as error:
            if error.status != documents.CONFLICT:
                raise
            log.info("claim of %s refused: %s", case.name, error)
            await self._read(case)

    async def _tell(self, case: Case) -> None:
        for happening in documents.happenings(case):
            if (case.name, happening.key) not in self._told:
                await events.post(self._kube, documents.event(case, happening))
                self._told.add((case.name, happening.key))
