"""Which quarantined pods are kept aside so that others take their place, and which of those are given back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_watchdog.api.policy import QuarantineChoice
from llm_watchdog.api.reasons import Mode, Outcome
from llmworker_operator.domain.grants import effective_mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llm_watchdog.api.policy import WatchdogPolicy
    from llmworker_operator.domain.brake import Brake
    from llmworker_operator.domain.record import IncidentView
    from llmworker_operator.domain.replica import Replica


def to_detach(
    policy: WatchdogPolicy,
    incidents: Sequence[IncidentView],
    replicas: Sequence[Replica],
    *,
    aside: Sequence[Replica],
    brakes: Iterable[Brake],
) -> list[Replica]:
    """The oldest quarantine first. One that a person has released before is held, as is one with a common cause.

    The annotation of an earlier release cannot be told from one that is on its way to the watchdog.
    """
    if policy.remediation.quarantine is not QuarantineChoice.DETACH or policy.paused is not None:
        return []
    held = {r.uid: r for r in replicas if r.quarantined and not r.ready and not r.terminating and not r.released}
    causes = [brake.cause for brake in brakes if brake.held]
    due: dict[str, Replica] = {}
    for incident in sorted(incidents, key=lambda i: (i.closed_at or i.detected_at, i.name)):
        enforced = {incident.mode, effective_mode(policy, incident.fault)} == {Mode.ENFORCE.value}
        ended = incident.closed and incident.outcome == Outcome.QUARANTINED and enforced
        if ended and incident.pod_uid in held and not any(cause.covers(incident) for cause in causes):
            due.setdefault(incident.pod_uid, held[incident.pod_uid])
    free = policy.remediation.max_detached - len(aside)
    return list(due.values())[: max(0, free)]


def to_delete(aside: Iterable[Replica]) -> list[Replica]:
    """A person has released them, and their place is taken."""
    return [r for r in aside if r.released and not r.terminating]
