"""Which running pod gets the new watchdog image next: one at a time, stop on failure (invariant 13). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmworker_operator.domain.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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


def decide_update(replicas: Sequence[Replica], everywhere: Iterable[Replica], image: str) -> UpdateDecision:
    """`everywhere` are the pods of all workers: an image that cannot start must not cost more than one replica."""
    under_way = [r for r in everywhere if in_update(r)]
    finished = tuple(r for r in replicas if r.update_from and not r.terminating and not in_update(r))
    outdated = [r for r in replicas if r.sidecar and r.sidecar.image != image and not r.terminating]
    if under_way:
        # The pod that the last image broke is the first to get the next one.
        broken = [r for r in outdated if r in under_way and r.sidecar and not r.sidecar.running]
        return UpdateDecision(
            patch=broken[0] if broken else None,
            finished=finished,
            under_way=bool(outdated),
            problem=_problem(under_way, replicas),
        )
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


def _problem(under_way: Sequence[Replica], mine: Sequence[Replica]) -> str:
    for replica in under_way:
        sidecar = replica.sidecar
        if replica in mine and sidecar and sidecar.waiting_reason not in {"", "ContainerCreating", "PodInitializing"}:
            return (
                f"the watchdog of pod {replica.name} cannot start with image {sidecar.image}: "
                f"{sidecar.waiting_reason} {sidecar.waiting_message}".rstrip()
            )
    return ""
