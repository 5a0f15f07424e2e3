"""Which running pod gets the new watchdog image next: one at a time, stop on failure (invariant 13). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmworker_operator.domain.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llmworker_operator.domain.record import IncidentView

ORDINARY_WAITS = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Of a container that is about to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateDecision:
    """At most one pod to patch, and what is in the way."""

    patch: Replica | None = None
    finished: tuple[Replica, ...] = ()
    """Their mark is to be taken away: it speaks of one exchange, and must not vouch for the next."""
    under_way: bool = False
    problem: str = ""
    """The new image does not start."""
    waits: str = ""
    """For which of this worker's pods the exchange waits, and why."""


def settled(replica: Replica) -> bool:
    """Ready, or out of rotation for a reason that no watchdog image is to blame for."""
    return replica.ready or replica.asleep or replica.quarantined


def in_update(replica: Replica) -> bool:
    """Its image was exchanged, and the new container is not there yet, or the pod has not settled with it yet."""
    sidecar = replica.sidecar
    if not replica.update_from or sidecar is None or replica.terminating:
        return False
    return not (sidecar.running and sidecar.container_id not in {"", replica.update_from} and settled(replica))


def cannot_start(replica: Replica) -> bool:
    """The container waits, and says why; a restart in place is over before it does."""
    sidecar = replica.sidecar
    return sidecar is not None and not sidecar.running and sidecar.waiting_reason not in ORDINARY_WAITS


def decide_update(
    replicas: Sequence[Replica], everywhere: Iterable[Replica], incidents: Sequence[IncidentView], image: str
) -> UpdateDecision:
    """`everywhere` are the pods of all workers: an image that cannot start must not cost more than one replica.

    `incidents` are this worker's. While one of them holds the budget, none of its watchdogs is exchanged: the exchange
    takes a replica out of rotation without asking the budget, and the one that acts would be ended in its step.
    A watchdog that cannot start takes no step, and without a better image it may never close the incident.
    """
    holding = sorted((i for i in incidents if i.holds_budget), key=lambda i: i.name)
    under_way = [r for r in everywhere if in_update(r)]
    finished = tuple(r for r in replicas if r.update_from and not r.terminating and not in_update(r))
    outdated = [r for r in replicas if r.sidecar and r.sidecar.image != image and not r.terminating]
    if under_way:
        # The pod that the last image broke is the first to get the next one.
        broken = [
            r
            for r in outdated
            if r in under_way and (cannot_start(r) if holding else r.sidecar and not r.sidecar.running)
        ]
        return UpdateDecision(
            patch=broken[0] if broken else None,
            finished=finished,
            under_way=bool(outdated),
            problem=_problem(under_way, replicas),
        )
    if holding:
        return UpdateDecision(finished=finished, under_way=bool(outdated), waits=_held(outdated, holding[0]))
    able = sorted((r for r in outdated if settled(r) and r.sidecar and r.sidecar.running), key=lambda r: r.name)
    return UpdateDecision(
        patch=able[0] if able else None,
        finished=finished,
        under_way=bool(outdated),
        waits="" if able else _waits(outdated),
    )


def _waits(outdated: Sequence[Replica]) -> str:
    if not outdated:
        return ""
    first = min(outdated, key=lambda r: r.name)
    return f"pod {first.name} keeps its old watchdog until it is Ready ({len(outdated)} to be exchanged)"


def _held(outdated: Sequence[Replica], incident: IncidentView) -> str:
    if not outdated:
        return ""
    return (
        f"the old watchdogs stay while incident {incident.name} of pod {incident.pod_name} is dealt with "
        f"({len(outdated)} to be exchanged)"
    )


def _problem(under_way: Sequence[Replica], mine: Sequence[Replica]) -> str:
    for replica in under_way:
        sidecar = replica.sidecar
        if replica in mine and sidecar and cannot_start(replica):
            return (
                f"the watchdog of pod {replica.name} cannot start with image {sidecar.image}: "
                f"{sidecar.waiting_reason} {sidecar.waiting_message}".rstrip()
            )
    return ""
