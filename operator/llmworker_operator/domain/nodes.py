"""Which nodes may be at fault rather than the replicas on them. Pure; its memory is the incidents and the pods."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import timedelta

    from llmworker_operator.domain.record import IncidentView
    from llmworker_operator.domain.replica import Replica

REPLICAS_NEEDED: Final = 2
"""Different pods that were restarted or replaced on it: two of them, or one and its successor."""


class SuspectReason(StrEnum):
    """Why, the surer first."""

    DEVICE_UNHEALTHY = "DeviceUnhealthy"
    """The device plugin's word, in the pod's `allocatedResourcesStatus`."""
    SAME_NODE_AGAIN = "SameNodeAgain"
    """More of the worker's pods had to be restarted there than on any other node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectNode:
    """One node and one reason; a sentence without numbers that change by themselves."""

    node: str
    reason: SuspectReason
    message: str
    since: datetime | None = None
    """The newest restart there; None: it stands now."""


def suspect_nodes(
    incidents: Sequence[IncidentView],
    replicas: Sequence[Replica],
    existing: Collection[str],
    window: timedelta,
    now: datetime,
) -> tuple[SuspectNode, ...]:
    """Of one worker; the surer reason first, then by name. A node that is gone is none."""
    found = [*_devices(replicas), *_again(incidents, now - window)]
    order = list(SuspectReason)
    known = [suspect for suspect in found if suspect.node in existing]
    return tuple(sorted(known, key=lambda suspect: (order.index(suspect.reason), suspect.node)))


def _devices(replicas: Sequence[Replica]) -> list[SuspectNode]:
    by_node: dict[str, list[str]] = defaultdict(list)
    for replica in sorted(replicas, key=lambda r: r.name):
        by_node[replica.node] += [f"{device} of pod {replica.name}" for device in replica.unhealthy_devices]
    return [
        SuspectNode(
            node=node,
            reason=SuspectReason.DEVICE_UNHEALTHY,
            message=f"node {node}: {', '.join(devices)} is reported as unhealthy",
        )
        for node, devices in by_node.items()
        if devices
    ]


def _again(incidents: Sequence[IncidentView], since: datetime) -> list[SuspectNode]:
    """A fault that comes on other nodes as often tells nothing about this one."""
    pods: dict[str, dict[str, datetime]] = defaultdict(dict)
    names: dict[str, str] = {}
    for incident in incidents:
        times = [step.started_at for step in incident.steps if step.disruptive and step.started_at > since]
        if times and incident.node:
            last = pods[incident.node].get(incident.pod_uid)
            pods[incident.node][incident.pod_uid] = max([*times, *([last] if last else [])])
            names[incident.pod_uid] = incident.pod_name
    return [
        SuspectNode(
            node=node,
            reason=SuspectReason.SAME_NODE_AGAIN,
            message=(
                f"node {node}: {', '.join(sorted(names[uid] for uid in failed))} had to be restarted there, "
                "and fewer on any other node"
            ),
            since=max(failed.values()),
        )
        for node, failed in pods.items()
        if len(failed) >= REPLICAS_NEEDED and len(failed) > _most_elsewhere(pods, node)
    ]


def _most_elsewhere(pods: Mapping[str, Mapping[str, datetime]], node: str) -> int:
    return max((len(failed) for other, failed in pods.items() if other != node), default=0)
