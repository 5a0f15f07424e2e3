"""A watchdog without an engine: the writes of a real one, with its token, its documents and its precondition."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from benchmarks.remediation.client import ApiError
from benchmarks.remediation.fleet import ready
from llm_watchdog.api import names
from llm_watchdog.api.incident import Evidence, Incident, IncidentSpec, IncidentStatus, WorkerRef
from llm_watchdog.api.reasons import (
    FaultClass,
    FindingReason,
    GrantableStep,
    Mode,
    Outcome,
    Phase,
    RotationReason,
    Rung,
    StepOutcome,
)
from llm_watchdog.core.case import Case
from llm_watchdog.core.rotation import Rotation
from llm_watchdog.recorder import documents
from llm_watchdog.recorder.incidents import APPLY_PARAMS
from llm_watchdog.recorder.kube import APPLY, STRATEGIC

if TYPE_CHECKING:
    from benchmarks.remediation.client import Client
    from benchmarks.remediation.fleet import Pod
    from llm_watchdog.core.situation import IncidentView

INCIDENTS: Final = f"/apis/{names.API_VERSION}/{names.INCIDENT_PLURAL}"
FAULT: Final = FaultClass.STALLED_STREAM
SENTENCE: Final = "No first token for 5.0 s of a canary that was alone in the engine; the limit is 5.0 s."
EVIDENCE: Final = 6
"""Entries, as a hang of a few canaries leaves them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds."""

    restart: float
    """From the claim until a new engine listens."""
    proof: float
    """From then until the verdict."""


class Views:
    """The incidents as the API server holds them, from one watch for all watchdogs."""

    def __init__(self) -> None:
        self._held: dict[str, IncidentView] = {}
        self._changed: dict[str, asyncio.Event] = {}

    async def follow(self, client: Client, version: str) -> None:
        """Until cancelled. Raises ApiError."""
        async for event in client.watch(INCIDENTS, version):
            document = event["object"]
            name = document["metadata"]["name"]
            self._held[name] = documents.view(document)
            self._event(name).set()

    def _event(self, name: str) -> asyncio.Event:
        return self._changed.setdefault(name, asyncio.Event())

    async def granted(self, name: str) -> IncidentView:
        """Once a restart is permitted."""
        while True:
            view = self._held.get(name)
            if view is not None and view.fresh_grant(GrantableStep.RESTART, None) is not None:
                return view
            self._event(name).clear()
            await self._event(name).wait()


class Watchdog:
    """Of one faulty replica."""

    def __init__(self, *, own: Client, kubelet: Client, views: Views, worker: str, pod: Pod) -> None:
        self._own = own
        self._kubelet = kubelet
        self._views = views
        self._pod = pod
        self._case = _opened(worker, pod)

    async def run(self, times: Times, *, is_cured: bool) -> None:
        """From the finding to the end of the incident."""
        await self._tell(
            "POST",
            documents.incidents_path(self._pod.namespace),
            documents.incident(self._case),
            params={"fieldManager": names.WATCHDOG_FIELD_MANAGER},
        )
        await self._apply()
        await self._rotate(in_rotation=False, reason=RotationReason.FAULTY)
        self._become(phase=Phase.AWAITING_GRANT, requested_step=GrantableStep.RESTART)
        await self._apply()
        await self._claim()
        self._become(requested_step=None, time_to_act_seconds=self._since_detected())
        await self._apply()
        await asyncio.sleep(times.restart)
        self._case = self._case.finish_step(_now())
        self._become(phase=Phase.VERIFYING)
        await self._apply()
        await asyncio.sleep(times.proof)
        await (self._recover() if is_cured else self._give_up())

    async def _claim(self) -> None:
        """Against the very version in which the grant was seen; else asked for again, as it stands."""
        asking = self._case
        while True:
            view = await self._views.granted(asking.name)
            self._case = asking.begin_step(Rung.RESTART, _now())
            self._become(phase=Phase.ACTING)
            try:
                await self._apply(version=view.resource_version)
            except ApiError as error:
                if error.status != documents.CONFLICT:
                    raise
            else:
                return

    async def _recover(self) -> None:
        self._case = self._case.judge_step(StepOutcome.SUCCEEDED, "3 of 3 canaries passed", _now())
        took = self._since_detected()
        self._become(phase=Phase.CLOSED, outcome=Outcome.RECOVERED, closed_at=_now(), time_to_recover_seconds=took)
        await self._rotate(in_rotation=True, reason=RotationReason.SERVING)
        await self._apply()

    async def _give_up(self) -> None:
        self._case = self._case.judge_step(StepOutcome.FAILED, "no canary passed", _now())
        self._become(phase=Phase.CLOSED, outcome=Outcome.QUARANTINED, closed_at=_now())
        await self._rotate(in_rotation=False, reason=RotationReason.QUARANTINED)
        await self._apply()

    def _become(self, **changes: Any) -> None:
        self._case = self._case.with_status(**changes)

    def _since_detected(self) -> float:
        return round((_now() - self._case.incident.spec.detected_at).total_seconds(), 3)

    async def _apply(self, version: str | None = None) -> None:
        path = documents.incidents_path(self._pod.namespace, self._case.name, "status")
        body = documents.status(self._case, resource_version=version)
        await self._tell("PATCH", path, body, content=APPLY, params=APPLY_PARAMS)

    async def _rotate(self, *, in_rotation: bool, reason: RotationReason) -> None:
        """The gate, and the kubelet that follows it."""
        rotation = Rotation(in_rotation=in_rotation, reason=reason, message=SENTENCE)
        body = documents.gate_patch(self._pod.ref, rotation, _now())
        await self._tell("PATCH", f"{self._pod.path}/status", body, content=STRATEGIC)
        await self._kubelet.ask("PATCH", f"{self._pod.path}/status", ready(value=in_rotation), content=STRATEGIC)

    async def _tell(self, method: str, path: str, body: dict[str, Any], **more: Any) -> None:
        await self._own.ask(method, path, body, token=self._pod.token, **more)


def _opened(worker: str, pod: Pod) -> Case:
    now = _now()
    spec = IncidentSpec(
        worker_ref=WorkerRef(name=worker), pod_ref=pod.ref, fault=FAULT, detected_at=now, mode=Mode.ENFORCE
    )
    evidence = [Evidence(at=now, kind="Canary", message=SENTENCE) for _ in range(EVIDENCE)]
    status = IncidentStatus(
        reason=FindingReason.NO_FIRST_TOKEN,
        message=SENTENCE,
        evidence=evidence,
        out_of_rotation_at=now,
        time_to_detect_seconds=5.0,
    )
    name = names.incident_name(worker, FAULT.value, pod.ref.uid, 1)
    return Case(incident=Incident(name=name, namespace=pod.namespace, spec=spec, status=status))


def _now() -> datetime:
    return datetime.now(UTC)
