"""What the faults of several replicas have in common: the same class at once, or a rollout just before. Pure.

Only what stands now is looked at: incidents that are open, and replicas that are still held in quarantine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from llm_watchdog.api.policy import BrakePolicy
from llm_watchdog.api.reasons import Outcome
from llmworker_operator.domain.record import IncidentView
from llmworker_operator.domain.rollout import Change

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from llmworker_operator.domain.replica import Replica


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A rollout that faults came soon after."""

    change: Change
    template_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Faults that have more in common than chance explains."""

    alike: tuple[IncidentView, ...]
    """One of each replica, the oldest first."""
    replicas: int
    """How many the worker has."""
    episode: frozenset[str]
    """Incidents that belong to it, those that ended among them."""
    afflicted: frozenset[str]
    """Pods for which it is not over."""
    whole_worker: bool
    """It concerns the steps of all replicas, not only those of its own incidents."""
    suspect: Suspect | None = None

    def covers(self, incident: IncidentView) -> bool:
        return self.whole_worker or incident.name in self.episode


def find_causes(
    policy: BrakePolicy, incidents: Sequence[IncidentView], replicas: Sequence[Replica], change: Change | None
) -> list[Cause]:
    """Those that stand now; none for a worker without replicas or without incidents."""
    fleet = _Fleet.of(policy, incidents, replicas, change)
    found = [_common(fault, fleet) for fault in sorted({i.fault for i in fleet.standing})]
    return [cause for cause in (*found, _of_rollout(fleet)) if cause is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """What causes are found in."""

    policy: BrakePolicy
    incidents: Sequence[IncidentView]
    replicas: int
    standing: Sequence[IncidentView]
    suspect: Suspect | None
    recent: frozenset[str]
    """Names of incidents that came soon after the suspect."""

    @classmethod
    def of(
        cls,
        policy: BrakePolicy,
        incidents: Sequence[IncidentView],
        replicas: Sequence[Replica],
        change: Change | None,
    ) -> Self:
        living = {r.uid: r for r in replicas if not r.terminating}
        newest = _newest_revision(living.values())
        suspect = Suspect(change=change, template_hash=newest) if change and newest and policy.after_rollout else None
        of_newest = {uid for uid, replica in living.items() if replica.revision == newest}
        return cls(
            policy=policy,
            incidents=incidents,
            replicas=len(living),
            standing=_standing(incidents, living),
            suspect=suspect,
            recent=_soon_after(suspect, [i for i in incidents if i.pod_uid in of_newest], policy),
        )


def _standing(incidents: Sequence[IncidentView], living: Mapping[str, Replica]) -> list[IncidentView]:
    """Open, or ended in a quarantine that was not lifted: it does not serve, and nothing else was found since.

    The pod's own word for quarantine is not asked: it comes by another write than the incident's end.
    """
    latest: dict[str, datetime] = {}
    for i in incidents:
        latest[i.pod_uid] = max(i.detected_at, latest.get(i.pod_uid, i.detected_at))

    def held(i: IncidentView) -> bool:
        ended = i.closed_at or i.detected_at
        return i.outcome == Outcome.QUARANTINED and not living[i.pod_uid].ready and latest[i.pod_uid] < ended

    return [i for i in incidents if i.pod_uid in living and (not i.closed or held(i))]


def _newest_revision(replicas: Collection[Replica]) -> str:
    """Whose first pod is the youngest: a pod of the old one that is made anew does not count."""
    began: dict[str, datetime] = {}
    for replica in replicas:
        if replica.revision and replica.created_at:
            began[replica.revision] = min(replica.created_at, began.get(replica.revision, replica.created_at))
    return max(began, key=lambda revision: (began[revision], revision), default="")


def _soon_after(suspect: Suspect | None, of_newest: Sequence[IncidentView], policy: BrakePolicy) -> frozenset[str]:
    """From the first pod of the newest revision until some time after it was everywhere."""
    if suspect is None:
        return frozenset()
    finished = suspect.change.finished_at
    ends = finished and finished + timedelta(seconds=policy.after_rollout)
    return frozenset(i.name for i in of_newest if ends is None or i.detected_at <= ends)


def _common(fault: str, fleet: _Fleet) -> Cause | None:
    window = timedelta(seconds=fleet.policy.window)
    needed = max(fleet.policy.min_replicas, fleet.policy.share.at_least(fleet.replicas))
    of_class = [i for i in fleet.standing if i.fault == fault]
    alike = _together(_first_of_each(of_class), window, needed)
    if not alike:
        return None
    since, until = alike[0].detected_at - window, alike[-1].detected_at + window
    return Cause(
        alike=alike,
        replicas=fleet.replicas,
        episode=frozenset(i.name for i in fleet.incidents if i.fault == fault and since <= i.detected_at <= until),
        afflicted=frozenset(i.pod_uid for i in of_class),
        whole_worker=True,
        suspect=fleet.suspect if any(i.name in fleet.recent for i in alike) else None,
    )


def _of_rollout(fleet: _Fleet) -> Cause | None:
    """One replica is enough."""
    alike = _first_of_each(i for i in fleet.standing if i.name in fleet.recent)
    if not alike:
        return None
    return Cause(
        alike=alike,
        replicas=fleet.replicas,
        episode=fleet.recent,
        afflicted=frozenset(i.pod_uid for i in fleet.standing),
        whole_worker=False,
        suspect=fleet.suspect,
    )


def _first_of_each(incidents: Iterable[IncidentView]) -> tuple[IncidentView, ...]:
    """The oldest of each replica, by time."""
    first: dict[str, IncidentView] = {}
    for i in sorted(incidents, key=lambda i: (i.detected_at, i.name)):
        first.setdefault(i.pod_uid, i)
    return tuple(first.values())


def _together(incidents: Sequence[IncidentView], window: timedelta, needed: int) -> tuple[IncidentView, ...]:
    """All that have enough others near them, in the order in which they came."""
    near: set[str] = set()
    for first in incidents:
        group = [i.name for i in incidents if timedelta(0) <= i.detected_at - first.detected_at <= window]
        if len(group) >= needed:
            near |= set(group)
    return tuple(i for i in incidents if i.name in near)
