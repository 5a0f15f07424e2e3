"""Which replica is told that it answers unlike the others, and what they answer. Pure.

What follows is its watchdog's: it looks anew, judges by what it was told, and asks for whatever step it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmworker_operator.domain.facts import Rollout
    from llmworker_operator.domain.record import IncidentView
    from llmworker_operator.domain.replica import Replica
    from llmworker_operator.domain.worker import Worker


def references_to_write(
    confirmed: Mapping[str, str],
    *,
    worker: Worker,
    replicas: Sequence[Replica],
    incidents: Sequence[IncidentView],
    rollout: Rollout,
) -> list[tuple[Replica, str]]:
    """Pods whose annotation is to change, and to what; empty: it is to be taken away.

    `confirmed` has what the others answer by the name of each pod that dissents. Nothing is told during a rollout or a
    sleep, nor of a replica that is dealt with: what was learned then is not to be held against anybody.
    """
    settled = rollout.complete and not worker.asleep_wished
    troubled = {incident.pod_uid for incident in incidents if not incident.closed}
    due = []
    for replica in replicas:
        able = settled and replica.ready and replica.uid not in troubled
        wanted = confirmed.get(replica.name, "") if able else ""
        if wanted != replica.reference and not replica.terminating:
            due.append((replica, wanted))
    return due
