"""One pod of a worker, reduced to what decisions need. Knows no client."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llm_watchdog.api import names
from llm_watchdog.api.reasons import RotationReason
from llmworker_operator.domain.times import read_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LABEL_REVISION = "pod-template-hash"
"""Written by the Deployment's controller: the same for all pods of one template."""

ANNOTATION_WATCHDOG_UPDATE = f"{names.GROUP}/watchdog-update"
"""On a pod whose watchdog was exchanged in place: the container id that it had before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """The watchdog container of a pod."""

    image: str
    container_id: str = ""
    running: bool = False
    waiting_reason: str = ""
    waiting_message: str = ""
    restarts_all_containers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A pod; `ready` includes the rotation gate."""

    name: str
    uid: str
    resource_version: str = field(default="", compare=False)
    node: str = ""
    revision: str = ""
    created_at: datetime | None = None
    terminating: bool = False
    ready: bool = False
    rotation: str = ""
    """Reason of the rotation gate, empty before the watchdog wrote it."""
    restart_method: str = ""
    update_from: str = ""
    sidecar: Sidecar | None = None
    reference: str = ""
    """What most other replicas answer, as we wrote it there."""
    released: str = ""
    """What a person wrote to release it."""
    detached: bool = False
    """Kept aside: no replica of the worker any more."""
    restart_probe: bool = False
    """The engine carries our liveness probe, not one of the user's."""
    address: str = ""
    """Of the pod; empty before it has one."""
    unhealthy_devices: tuple[str, ...] = ()
    """Resource and device, as the kubelet reports them for this pod's containers."""

    @property
    def asleep(self) -> bool:
        return self.rotation == RotationReason.ASLEEP

    @property
    def quarantined(self) -> bool:
        return self.rotation == RotationReason.QUARANTINED


def _by_name(items: Iterable[Mapping[str, Any]] | None, name: str) -> Mapping[str, Any]:
    return next((item for item in items or () if item.get("name") == name), {})


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((c for c in status.get("conditions") or () if c.get("type") == kind), {})


def _sidecar(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Sidecar | None:
    container = _by_name(spec.get("initContainers"), names.WATCHDOG_CONTAINER)
    if not container:
        return None
    seen = _by_name(status.get("initContainerStatuses"), names.WATCHDOG_CONTAINER)
    state = seen.get("state") or {}
    waiting = state.get("waiting") or {}
    return Sidecar(
        image=container.get("image", ""),
        container_id=seen.get("containerID", ""),
        running="running" in state,
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        restarts_all_containers=bool(container.get("restartPolicyRules")),
    )


def _unhealthy_devices(status: Mapping[str, Any]) -> tuple[str, ...]:
    """Of `allocatedResourcesStatus` (KEP 4680); `Unknown` is no word against it."""
    containers = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    found = {
        f"{resource.get('name', '')} {device.get('resourceID', '')}".strip()
        for container in containers
        for resource in container.get("allocatedResourcesStatus") or ()
        for device in resource.get("resources") or ()
        if device.get("health") == "Unhealthy"
    }
    return tuple(sorted(found))


def is_restart_probe(probe: Mapping[str, Any]) -> bool:
    """Ours is known by the file that it looks at."""
    command = (probe.get("exec") or {}).get("command") or ()
    return any(f"{names.ORDERS_DIR}/{names.RESTART_REQUEST_FILE}" in word for word in command)


def read_replica(document: Mapping[str, Any]) -> Replica:
    """From the API server's JSON."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    annotations = metadata.get("annotations") or {}
    engine = _by_name(spec.get("containers"), names.ENGINE_CONTAINER)
    return Replica(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata.get("resourceVersion", ""),
        node=spec.get("nodeName", ""),
        revision=(metadata.get("labels") or {}).get(LABEL_REVISION, ""),
        created_at=read_time(metadata.get("creationTimestamp")),
        terminating="deletionTimestamp" in metadata or status.get("phase") in {"Succeeded", "Failed"},
        ready=_condition(status, "Ready").get("status") == "True",
        rotation=_condition(status, names.ROTATION_GATE).get("reason", ""),
        restart_method=annotations.get(names.ANNOTATION_RESTART_METHOD, ""),
        reference=annotations.get(names.ANNOTATION_REFERENCE, ""),
        released=annotations.get(names.ANNOTATION_RELEASE, "").strip(),
        detached=(metadata.get("labels") or {}).get(names.LABEL_WORKER, "").endswith(names.DETACHED_SUFFIX),
        update_from=annotations.get(ANNOTATION_WATCHDOG_UPDATE, ""),
        sidecar=_sidecar(spec, status),
        restart_probe=is_restart_probe(engine.get("livenessProbe") or {}),
        address=status.get("podIP") or "",
        unhealthy_devices=_unhealthy_devices(status),
    )
