"""Which pods are to be evicted because a watchdog ordered it, and what came of those that are gone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import Mode, Outcome, Phase, Rung, StepOutcome
from llmworker_operator.domain.brake import TRIAL_SPARE
from llmworker_operator.domain.grants import effective_mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from llm_watchdog.api.policy import RemediationPolicy, WatchdogPolicy
    from llmworker_operator.domain.record import IncidentView, StepView
    from llmworker_operator.domain.replica import Replica

SKEW: Final = timedelta(seconds=5)
"""Between the clock of a node, which dates the order, and that of the API server, which dates pods in whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """How an incident ends whose pod was to be replaced and is gone."""

    outcome: Outcome
    step: StepOutcome
    proof: str


def to_evict(
    policy: WatchdogPolicy, incidents: Iterable[IncidentView], replicas: Sequence[Replica]
) -> list[tuple[IncidentView, Replica]]:
    """Orders on record, claimed by a grant of ours, whose pod is there and out of rotation."""
    out = {r.uid: r for r in replicas if not r.terminating and not r.ready}
    return [(i, out[i.pod_uid]) for i in incidents if i.pod_uid in out and _ordered(i, policy)]


def _ordered(incident: IncidentView, policy: WatchdogPolicy) -> bool:
    """Who only says that it was granted the step gets nothing: the grant is what a watchdog cannot write."""
    grant = incident.grant
    granted = grant is not None and grant.step == Rung.REPLACE_POD
    enforced = {incident.mode, effective_mode(policy, incident.fault)} == {Mode.ENFORCE.value}
    ordered = incident.replacement is not None and incident.phase == Phase.ACTING
    return granted and ordered and enforced and policy.paused is None


def patience(policy: RemediationPolicy) -> timedelta:
    """From the order to the end of waiting; the brake gives up on a trial at the same moment."""
    return timedelta(seconds=policy.startup_timeout + policy.drain_timeout) + TRIAL_SPARE


def being_stopped(
    incidents: Iterable[IncidentView], replicas: Iterable[Replica]
) -> list[tuple[IncidentView, StepView]]:
    """Evicted, and still on its way out."""
    stopping = {r.uid for r in replicas if r.terminating}
    return [(i, i.replacement) for i in incidents if i.pod_uid in stopping and i.replacement is not None]


def judge_replacement(
    incident: IncidentView,
    *,
    policy: RemediationPolicy,
    incidents: Sequence[IncidentView],
    replicas: Sequence[Replica],
    wanted: int,
    now: datetime,
) -> Replaced | None:
    """The pod is gone, or stuck. None: it is not known yet; `wanted` is `spec.replicas`."""
    order = incident.replacement
    if order is None:
        return None
    successor = successors(incidents, replicas).get(incident.name)
    living = sum(not r.terminating for r in replicas)
    if successor is not None and successor.ready and living >= wanted:
        after = (now - order.started_at).total_seconds()
        proof = (
            f"pod {successor.name} on node {successor.node or 'unknown'} took its place and is in rotation,"
            f" {after:.0f} s after the order"
        )
        return Replaced(outcome=Outcome.RECOVERED, step=StepOutcome.SUCCEEDED, proof=proof)
    limit = patience(policy)
    if now - order.started_at < limit:
        return None
    proof = f"no pod that took its place was in rotation within {limit.total_seconds():.0f} s"
    return Replaced(outcome=Outcome.LOST, step=StepOutcome.TIMED_OUT, proof=proof)


def successors(incidents: Iterable[IncidentView], replicas: Iterable[Replica]) -> dict[str, Replica]:
    """Pod that took the place of an incident's, in rotation or not yet, by the incident's name.

    The youngest pod belongs to the latest order: one that was there before is taken only where none came later. Each
    pod takes one place, and orders that are through keep theirs.
    """
    free = sorted((r for r in replicas if not r.terminating), key=_age, reverse=True)
    found: dict[str, Replica] = {}
    for ordered_at, incident in sorted(_orders(incidents), key=lambda order: (order[0], order[1].name), reverse=True):
        until = incident.closed_at
        took = next(
            (
                r
                for r in free
                if r.uid != incident.pod_uid
                and r.created_at is not None
                and r.created_at > ordered_at - SKEW
                and (until is None or r.created_at < until)
            ),
            None,
        )
        if took is not None:
            free.remove(took)
            found[incident.name] = took
    return found


def _orders(incidents: Iterable[IncidentView]) -> list[tuple[datetime, IncidentView]]:
    orders = []
    for incident in incidents:
        last = incident.steps[-1] if incident.steps else None
        proven = incident.outcome == Outcome.RECOVERED and last is not None and last.step == Rung.REPLACE_POD
        if last is not None and (proven or incident.replacement is not None):
            orders.append((last.started_at, incident))
    return orders


def _age(replica: Replica) -> tuple[float, str]:
    return (replica.created_at.timestamp() if replica.created_at else 0.0, replica.name)
