"""Who may take a disruptive step now: brake, budget, limits, cool-down, order. Pure; its memory is the incidents.

A grant that was given counts against the budget until it is withdrawn or its incident closes, never by the clock alone:
between expiry and withdrawal the watchdog may still claim it, and the API server decides who was first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.incident import Grant
from llm_watchdog.api.reasons import FaultClass, GrantableStep, Mode, Phase, Rung, VerdictState
from llmworker_operator.domain.brake import Brake, find_brakes
from llmworker_operator.domain.record import DISRUPTIVE, IncidentView
from llmworker_operator.domain.refusals import SERVES_NOTHING, Refusal, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from llm_watchdog.api.policy import BudgetPolicy, WatchdogPolicy
    from llmworker_operator.domain.replica import Replica
    from llmworker_operator.domain.rollout import Change

GRANT_LIFETIME: Final = timedelta(seconds=30)
"""A watchdog polls its incident every second or two; one that has not claimed after this long is not there."""

HOUR: Final = timedelta(hours=1)
NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Granting:
    """A request that is granted now."""

    incident: IncidentView
    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantDecision:
    """What to write, what waits and when to look again."""

    granted: tuple[Granting, ...] = ()
    withdrawn: tuple[IncidentView, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    brakes: tuple[Brake, ...] = ()
    recheck_at: datetime | None = None


@dataclass(slots=True)
class _Ledger:
    """Running totals while requests are gone through in order."""

    allowed: int
    """Replicas in granted steps at once."""
    holders: set[str]
    used: list[datetime]
    in_rotation: set[str]
    brakes: tuple[Brake, ...] = ()
    granted: list[Granting] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)


def effective_mode(policy: WatchdogPolicy, fault: str) -> Mode:
    """The per-class override, or the worker's own mode; an unknown class is only observed."""
    if fault not in {known.value for known in FaultClass}:
        return Mode.OBSERVE
    return policy.detectors.mode_of(FaultClass(fault)) or policy.mode


def holders(incidents: Iterable[IncidentView]) -> set[str]:
    """Pods in granted steps.

    A pod that is gone counts until its incident is closed as `Lost`, which takes a read of the API server, not of a
    cache that may lag.
    """
    return {i.pod_uid for i in incidents if i.holds_budget}


def _void(incident: IncidentView, now: datetime, *, paused: bool) -> bool:
    """Nobody claimed it in time, or nobody may; it was given up; or its restart is over, and it must not pass for the
    next one.
    """
    grant = incident.grant
    if grant is None or incident.closed:
        return False
    if incident.outstanding:
        return paused or grant.expires_at <= now
    return incident.phase == Phase.OPEN or (incident.phase == Phase.VERIFYING and grant.step in DISRUPTIVE)


def restarts(incident: IncidentView, *rungs: Rung) -> list[datetime]:
    """When this incident took capacity: steps that began, and the grant that no step shows yet. None named: by any."""
    counted = rungs or DISRUPTIVE
    taken = [step.started_at for step in incident.steps if step.disruptive and step.step in counted]
    if incident.outstanding and incident.grant and incident.grant.step in counted:
        taken.append(incident.grant.granted_at)
    return taken


def decide_grants(
    *,
    policy: WatchdogPolicy,
    incidents: Sequence[IncidentView],
    replicas: Sequence[Replica],
    wanted: int,
    now: datetime,
    change: Change | None = None,
    rights: bool = True,
    unclaimed: Mapping[str, datetime] | None = None,
) -> GrantDecision:
    """Go through the requests in order and grant what the budget allows.

    `wanted` is `spec.replicas`, `unclaimed` when the last grant of an incident was withdrawn because nobody claimed it.
    """
    brakes = find_brakes(policy=policy.remediation, incidents=incidents, replicas=replicas, change=change, now=now)
    living = {r.uid for r in replicas}
    ledger = _Ledger(
        allowed=policy.remediation.budget.max_unavailable.at_most(wanted),
        holders=holders(incidents),
        used=[at for i in incidents for at in restarts(i) if at > now - HOUR],
        in_rotation={r.uid for r in replicas if r.ready and not r.terminating},
        brakes=brakes,
    )
    requests = [i for i in incidents if i.awaiting and not i.outstanding and i.pod_uid in living]
    for incident in sorted(requests, key=lambda request: _order(request, unclaimed or {})):
        _consider(incident, policy, incidents, ledger, now, rights=rights)
    return GrantDecision(
        granted=tuple(ledger.granted),
        withdrawn=tuple(i for i in incidents if _void(i, now, paused=policy.paused is not None)),
        waiting=tuple(ledger.waiting),
        brakes=brakes,
        recheck_at=_recheck(incidents, ledger, now),
    )


def _order(incident: IncidentView, unclaimed: Mapping[str, datetime]) -> tuple[datetime, bool, datetime, str]:
    """Worst first, then oldest first; behind all others who let a grant run out, or it held the budget for ever."""
    silent = incident.disruption_requested and incident.reason in SERVES_NOTHING
    return (unclaimed.get(incident.name, NEVER), not silent, incident.detected_at, incident.name)


def _consider(
    incident: IncidentView,
    policy: WatchdogPolicy,
    incidents: Sequence[IncidentView],
    ledger: _Ledger,
    now: datetime,
    *,
    rights: bool,
) -> None:
    refusal = (
        _not_allowed(incident, policy, rights=rights)
        or _replica_busy(incident, incidents, ledger)
        or _held(incident, ledger)
        or _attempts_exhausted(incident, policy.remediation.budget, incidents, now)
        or _over_budget(incident, policy.remediation.budget, ledger, now)
        or _cooling(incident, policy.remediation.budget, incidents, now)
        or _last_in_rotation(incident, ledger)
        or _not_the_trial(incident, ledger)
    )
    if refusal:
        ledger.waiting.append(refusal)
        return
    step = GrantableStep(str(incident.requested_step))
    ledger.granted.append(
        Granting(incident=incident, grant=Grant(step=step, granted_at=now, expires_at=now + GRANT_LIFETIME))
    )
    ledger.holders.add(incident.pod_uid)
    ledger.in_rotation.discard(incident.pod_uid)
    if step in DISRUPTIVE:
        ledger.used.append(now)


def _not_allowed(incident: IncidentView, policy: WatchdogPolicy, *, rights: bool) -> Waiting | None:
    if incident.requested_step not in set(GrantableStep):
        message = f"asks for {incident.requested_step!r}, which is no step that can be granted"
        return Waiting(incident=incident.name, refusal=Refusal.NO_STEP, message=message)
    if not rights:
        message = "the watchdogs' rights are withdrawn"
        return Waiting(incident=incident.name, refusal=Refusal.RIGHTS_WITHDRAWN, message=message)
    others = {Mode.OBSERVE, Mode.OFF} & {incident.mode, effective_mode(policy, incident.fault)}
    if others:
        message = f"mode of {incident.fault} is {max(others)}"
        return Waiting(incident=incident.name, refusal=Refusal.OBSERVE_ONLY, message=message)
    if policy.paused is not None:
        message = f"paused: {policy.paused.reason}"
        return Waiting(incident=incident.name, refusal=Refusal.PAUSED, message=message)
    return None


def _replica_busy(incident: IncidentView, incidents: Sequence[IncidentView], ledger: _Ledger) -> Waiting | None:
    """Another incident of the same replica is being dealt with: one step at a time cures or does not cure both."""
    just_granted = {g.incident.name for g in ledger.granted}
    for other in incidents:
        if other.pod_uid != incident.pod_uid or other.name == incident.name:
            continue
        permitted = (other.outstanding and other.disruption_requested) or other.name in just_granted
        if permitted or (other.under_way and other.begun):
            message = f"incident {other.name} of the same replica is in a granted step"
            return Waiting(incident=incident.name, refusal=Refusal.REPLICA_BUSY, message=message)
    return None


def _held(incident: IncidentView, ledger: _Ledger) -> Waiting | None:
    """Leaving rotation too, once it cannot lead to a cure; of a replica that serves nothing it costs nothing."""
    if not incident.disruption_requested and incident.reason in SERVES_NOTHING:
        return None
    for brake in ledger.brakes:
        if brake.held and brake.cause.covers(incident):
            return Waiting(incident=incident.name, refusal=Refusal.COMMON_CAUSE, message=brake.message)
    return None


def _not_the_trial(incident: IncidentView, ledger: _Ledger) -> Waiting | None:
    """Whoever comes first in the order is the trial."""
    just_granted = [g.incident for g in ledger.granted if g.incident.disruption_requested]
    for brake in ledger.brakes:
        taken = brake.trial is not None or any(brake.cause.covers(other) for other in just_granted)
        if incident.disruption_requested and taken and brake.cause.covers(incident):
            return Waiting(incident=incident.name, refusal=Refusal.TRIAL_UNDER_WAY, message=brake.message)
    return None


def _attempts_exhausted(
    incident: IncidentView, budget: BudgetPolicy, incidents: Sequence[IncidentView], now: datetime
) -> Waiting | None:
    """Over all incidents of the replica: a fault that comes back after each restart is not cured by another."""
    mine = [i for i in incidents if i.pod_uid == incident.pod_uid]
    taken = sorted(at for i in mine for at in restarts(i, Rung.RESTART) if at > now - HOUR)
    if not incident.restart_requested or len(taken) < budget.max_per_replica:
        return None
    message = (
        f"{incident.pod_name} was restarted {len(taken)} times in the last hour, at most {budget.max_per_replica} are"
        f" allowed for one replica: a restart does not cure its {incident.fault}"
    )
    until = taken[len(taken) - budget.max_per_replica] + HOUR
    return Waiting(incident=incident.name, refusal=Refusal.ATTEMPTS_EXHAUSTED, message=message, until=until)


def _over_budget(incident: IncidentView, budget: BudgetPolicy, ledger: _Ledger, now: datetime) -> Waiting | None:
    others = ledger.holders - {incident.pod_uid}
    if len(others) >= ledger.allowed:
        message = f"{len(others)} of at most {ledger.allowed} replicas are in granted steps"
        return Waiting(incident=incident.name, refusal=Refusal.BUDGET_IN_USE, message=message)
    if incident.disruption_requested and len(ledger.used) >= budget.max_per_hour:
        freed = sorted(ledger.used)[len(ledger.used) - budget.max_per_hour] + HOUR if budget.max_per_hour else None
        message = f"{len(ledger.used)} restarts in the last hour, at most {budget.max_per_hour} are allowed"
        return Waiting(
            incident=incident.name,
            refusal=Refusal.HOURLY_LIMIT,
            message=message,
            until=freed if freed and freed > now else None,
        )
    return None


def _cooling(
    incident: IncidentView, budget: BudgetPolicy, incidents: Sequence[IncidentView], now: datetime
) -> Waiting | None:
    if not incident.disruption_requested:
        return None
    taken = [at for i in incidents if i.pod_uid == incident.pod_uid for at in restarts(i)]
    if not taken:
        return None
    until = max(taken) + timedelta(seconds=budget.cooldown)
    if until <= now:
        return None
    message = f"restarted at {max(taken):%H:%M:%S}, cool-down of {budget.cooldown} until {until:%H:%M:%S}"
    return Waiting(incident=incident.name, refusal=Refusal.COOLDOWN, message=message, until=until)


def _last_in_rotation(incident: IncidentView, ledger: _Ledger) -> Waiting | None:
    """Wrong answers by the only replica are no service either, once they are proven."""
    proven = incident.verdict == VerdictState.FAULTY
    if incident.disruption_requested or proven or ledger.in_rotation - {incident.pod_uid}:
        return None
    message = "no other replica is in rotation, and this one still produces tokens and is only suspected"
    return Waiting(incident=incident.name, refusal=Refusal.LAST_IN_ROTATION, message=message)


def _recheck(incidents: Sequence[IncidentView], ledger: _Ledger, now: datetime) -> datetime | None:
    times = [i.grant.expires_at for i in incidents if i.outstanding and i.grant]
    times += [granted.grant.expires_at for granted in ledger.granted]
    times += [brake.recheck_at for brake in ledger.brakes if brake.recheck_at]
    times += [waiting.until for waiting in ledger.waiting if waiting.until]
    future = [at for at in times if at > now]
    return min(future, default=None)
