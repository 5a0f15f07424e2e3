"""Cases as Kubernetes documents: the incident, its status for server-side apply, Events, the pod condition. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names
from llm_watchdog.api.document import DocumentError, decode, encode
from llm_watchdog.api.incident import Grant, Incident
from llm_watchdog.api.reasons import FindingReason, GrantableStep, Outcome, Phase, Rung, StepOutcome
from llm_watchdog.core.container import ContainerEnd, EngineContainer
from llm_watchdog.core.situation import Gate, IncidentView

if TYPE_CHECKING:
    from llm_watchdog.api.incident import PodRef
    from llm_watchdog.core.case import Case
    from llm_watchdog.core.precaution import Precaution
    from llm_watchdog.core.rotation import Rotation
    from llm_watchdog.core.situation import Identity

CONFLICT: Final = 409
"""Answered to a creation: it is there already."""
EVENT_MESSAGE_MAX: Final = 1024
MESSAGE_MAX: Final = 4096
"""Well below the schema's bound; a sentence with numbers is no place for a page."""


_KIND: Final = {"apiVersion": names.API_VERSION, "kind": names.INCIDENT_KIND}


def incidents_path(namespace: str, name: str = "", subresource: str = "") -> str:
    """Of the collection, of one incident, or of its status."""
    path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.INCIDENT_PLURAL}"
    return "/".join(part for part in (path, name, subresource) if part)


def incident(case: Case) -> dict[str, Any]:
    """For the creation, which takes no status."""
    spec = case.incident.spec
    labels = {
        names.LABEL_WORKER: spec.worker_ref.name,
        names.LABEL_FAULT: spec.fault.value,
        names.LABEL_POD_UID: spec.pod_ref.uid,
    }
    return {**_KIND, "metadata": {"name": case.name, "labels": labels}, "spec": encode(spec)}


def status(case: Case, *, resource_version: str | None = None) -> dict[str, Any]:
    """All of the watchdog's own fields and none of the operator's. With a version it is a claim: now or never."""
    metadata = {"name": case.name, "namespace": case.incident.namespace}
    if resource_version is not None:
        metadata["resourceVersion"] = resource_version
    fields = encode(case.status)
    fields.pop("grant", None)
    fields["message"] = fields["message"][:MESSAGE_MAX]
    return {**_KIND, "metadata": metadata, "status": fields}


def view(document: dict[str, Any]) -> IncidentView:
    """An incident as read back. What cannot be understood counts as not there: no grant, no claim."""
    held = document.get("status") or {}
    try:
        grant = decode(Grant, held["grant"]) if held.get("grant") else None
        return IncidentView(
            resource_version=str(document["metadata"]["resourceVersion"]),
            phase=Phase(held.get("phase", Phase.OPEN)),
            requested_step=GrantableStep(held["requestedStep"]) if held.get("requestedStep") else None,
            grant=grant,
        )
    except (DocumentError, ValueError):
        return IncidentView(resource_version=str(document["metadata"]["resourceVersion"]))


def read_incident(document: dict[str, Any]) -> Incident:
    """All of an incident. Raises DocumentError."""
    metadata = document["metadata"]
    shaped = {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "spec": document["spec"],
        "status": {"reason": FindingReason.NO_FIRST_TOKEN.value, "message": "", **(document.get("status") or {})},
    }
    return decode(Incident, shaped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One transition of an incident, as an Event and a log line tell it."""

    key: str
    """Unique within the incident and the same whenever it is derived."""
    reason: str
    message: str
    at: datetime
    warning: bool


def happenings(case: Case) -> list[Happening]:
    """All that has happened so far, derived from the record alone: a crash loses none and repeats none."""
    spec, held = case.incident.spec, case.status
    told = [
        Happening(
            key="detected",
            reason=f"{spec.fault}Detected",
            message=f"{held.reason}: {held.message} ({case.name})",
            at=spec.detected_at,
            warning=True,
        )
    ]
    for number, step in enumerate(held.steps):
        if step.outcome is not StepOutcome.DRY_RUN:
            begun = f"{step.step} begins ({case.name})"
            told.append(_happening(f"step{number}-begins", f"{step.step}Begins", begun, step.started_at))
        if step.outcome is not None and step.finished_at is not None:
            ended = f"{step.step} {step.outcome}: {step.proof} ({case.name})"
            told.append(_happening(f"step{number}-ended", f"{step.step}{step.outcome}", ended, step.finished_at))
    if held.outcome is not None and held.closed_at is not None:
        warning = held.outcome is Outcome.QUARANTINED
        reason, closed = f"Incident{held.outcome}", f"{held.message} ({case.name})"
        told.append(Happening(key="closed", reason=reason, message=closed, at=held.closed_at, warning=warning))
    return told


def _happening(key: str, reason: str, message: str, at: datetime) -> Happening:
    return Happening(key=key, reason=reason, message=message, at=at, warning=False)


def event(case: Case, happening: Happening) -> dict[str, Any]:
    """Of an incident."""
    return _event(case.incident.spec.pod_ref, case.incident.namespace, f"{case.name}.{happening.key}", happening)


def precaution_event(who: Identity, precaution: Precaution) -> dict[str, Any]:
    """Of the flush after a wake, which belongs to no incident. `outcome` is known."""
    happening = Happening(
        key="flush",
        reason=f"{Rung.FLUSH_CACHE}{precaution.outcome}",
        message=f"{Rung.FLUSH_CACHE} as a precaution after a sleep and wake: {precaution.message}",
        at=precaution.since,
        warning=precaution.outcome is StepOutcome.FAILED,
    )
    # It may succeed first and be found to have emptied nothing later.
    told = str(precaution.outcome).lower()
    name = f"{who.pod.name}.wake-flush-{int(precaution.since.timestamp() * 1000)}-{told}"
    return _event(who.pod, who.namespace, name, happening)


def _event(pod: PodRef, namespace: str, name: str, happening: Happening) -> dict[str, Any]:
    """Named after what it tells, so that telling it twice makes one."""
    at = happening.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": pod.name, "uid": pod.uid}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": about,
        "reason": happening.reason,
        "message": happening.message[:EVENT_MESSAGE_MAX],
        "type": "Warning" if happening.warning else "Normal",
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "source": {"component": names.WATCHDOG_FIELD_MANAGER, "host": pod.node},
        "reportingComponent": f"{names.GROUP}/{names.WATCHDOG_FIELD_MANAGER}",
        "reportingInstance": pod.name,
    }


def gate_patch(pod: PodRef, rotation: Rotation, since: datetime) -> dict[str, Any]:
    """Strategic merge: this condition and no other. The uid is a precondition."""
    condition = {
        "type": names.ROTATION_GATE,
        "status": str(rotation.in_rotation),
        "reason": rotation.reason.value,
        "message": rotation.message[:MESSAGE_MAX],
        "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """The own pod, as far as it matters."""

    gate: Gate | None
    reason: str
    container_id: str | None
    container: EngineContainer
    reference: str = ""
    """What most other replicas answer, in the operator's words."""

    @property
    def last_exit(self) -> str:
        """Why the engine's container before this one ended, as the kubelet says it."""
        return self.container.ended.reason if self.container.ended else ""


def pod_view(document: dict[str, Any], now: datetime) -> PodView:
    """Read the condition and the engine's container id."""
    held = document.get("status") or {}
    conditions = {entry["type"]: entry for entry in held.get("conditions", [])}
    engines = [entry for entry in held.get("containerStatuses", []) if entry["name"] == names.ENGINE_CONTAINER]
    container_id = engines[0].get("containerID") if engines else None
    container = _container(engines[0] if engines else {})
    written = conditions.get(names.ROTATION_GATE)
    gate = None
    if written is not None:
        since = _time(written.get("lastTransitionTime")) or now
        gate = Gate(in_rotation=written["status"] == "True", since=since)
    return PodView(
        gate=gate,
        reason=(written or {}).get("reason", ""),
        container_id=container_id,
        container=container,
        reference=((document.get("metadata") or {}).get("annotations") or {}).get(names.ANNOTATION_REFERENCE, ""),
    )


def _container(status: dict[str, Any]) -> EngineContainer:
    """The newest end: of the run before this one, or, before the kubelet starts the next, of this one."""
    state = status.get("state") or {}
    ended = state.get("terminated") or (status.get("lastState") or {}).get("terminated")
    return EngineContainer(
        waiting=str((state.get("waiting") or {}).get("reason") or ""),
        ended=None if not ended else _end(ended),
    )


def _end(ended: dict[str, Any]) -> ContainerEnd:
    code = ended.get("exitCode")
    return ContainerEnd(
        container_id=str(ended.get("containerID") or ""),
        reason=str(ended.get("reason") or ""),
        exit_code=code if isinstance(code, int) else None,
        at=_time(ended.get("finishedAt")),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
