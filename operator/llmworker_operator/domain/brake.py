"""One cause, many replicas: one is let through as a trial, the others only if it is proven (invariant 5). Pure.

Its memory is the incidents and the pods. What it holds are steps, and never a recovery: it is over when the cause is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import BrakeState
from llm_watchdog.api.reasons import Outcome, StepOutcome
from llmworker_operator.domain.causes import Cause, find_causes
from llmworker_operator.domain.record import IncidentView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_watchdog.api.policy import RemediationPolicy
    from llmworker_operator.domain.replica import Replica
    from llmworker_operator.domain.rollout import Change

TRIAL_SPARE: Final = timedelta(seconds=300)
"""Beyond drain and start-up, for the checks after it. A trial that has not ended by then has nobody who ends it."""

NAMES_MAX: Final = 5
"""Replicas that a message names."""

_DID_NOTHING: Final = frozenset({StepOutcome.FAILED.value, StepOutcome.TIMED_OUT.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """On for one cause: a trial is due or under way, or it was not proven."""

    cause: Cause
    trial: IncidentView | None = None
    """The one that is under way; while it holds, the last that was not proven."""
    held: bool = False
    message: str
    recheck_at: datetime | None = None


def find_brakes(
    *,
    policy: RemediationPolicy,
    incidents: Sequence[IncidentView],
    replicas: Sequence[Replica],
    change: Change | None,
    now: datetime,
) -> tuple[Brake, ...]:
    """Those that are on now: a proven trial has released its own."""
    if policy.brake.state is BrakeState.DISABLED:
        return ()
    patience = timedelta(seconds=policy.startup_timeout + policy.drain_timeout) + TRIAL_SPARE
    causes = find_causes(policy.brake, incidents, replicas, change)
    found = (_brake(cause, incidents, patience, now) for cause in causes)
    return tuple(brake for brake in found if brake is not None)


def _brake(cause: Cause, incidents: Sequence[IncidentView], patience: timedelta, now: datetime) -> Brake | None:
    overdue = now - patience
    failed, cured = _not_proven(cause, incidents, overdue), _cured(cause, incidents)
    if len({i.pod_uid for i in failed}) > len(cured):
        last = max(failed, key=_began)
        return Brake(cause=cause, trial=last, held=True, message=f"{_what(cause)}. {_refuted(last)}{_hint(cause)}")
    if cured:
        return None
    running = [i for i in incidents if cause.covers(i) and under_way(i) and _began(i) > overdue]
    if not running:
        return Brake(cause=cause, message=f"{_what(cause)}. One is to be restarted as a trial.")
    trial = min(running, key=lambda i: (i.name not in cause.episode, _began(i)))
    state = "the trial, and under way" if trial.name in cause.episode else "dealt with first"
    message = f"{_what(cause)}. Incident {trial.name} of pod {trial.pod_name} is {state}."
    return Brake(cause=cause, trial=trial, message=message, recheck_at=min(_began(i) + patience for i in running))


def under_way(incident: IncidentView) -> bool:
    """A restart is permitted, or was begun and neither failed nor was proven yet."""
    if incident.closed:
        return False
    permitted = incident.outstanding and incident.disruption_requested
    return permitted or (incident.begun and not _did_nothing(incident))


def _did_nothing(incident: IncidentView) -> bool:
    last = incident.last_disruption
    return last is not None and last.outcome in _DID_NOTHING


def _began(incident: IncidentView) -> datetime:
    last = incident.last_disruption
    if last is not None:
        return last.started_at
    return incident.grant.granted_at if incident.grant else incident.detected_at


def _not_proven(cause: Cause, incidents: Sequence[IncidentView], overdue: datetime) -> list[IncidentView]:
    """Restarted for it, and the replica is where it was. The restart may stand in another incident of the replica."""
    since = {i.pod_uid: i.detected_at for i in cause.alike}
    return [
        i
        for i in incidents
        if i.begun
        and i.pod_uid in since
        and _began(i) >= since[i.pod_uid]
        and (i.outcome == Outcome.QUARANTINED or (not i.closed and (_did_nothing(i) or _began(i) <= overdue)))
    ]


def _cured(cause: Cause, incidents: Sequence[IncidentView]) -> set[str]:
    """Replicas that a restart freed of it, for as long as it does not come back."""
    had = [i for i in incidents if i.name in cause.episode and i.pod_uid not in cause.afflicted]
    restarted = [i for i in incidents if i.begun and i.outcome == Outcome.RECOVERED]
    return {i.pod_uid for i in restarted if any(_ended_with(fault, i) for fault in had)}


def _ended_with(fault: IncidentView, restarted: IncidentView) -> bool:
    """It stood when its replica was restarted, by itself or for another one, and not any more afterwards."""
    if fault.name == restarted.name:
        return True
    ended = fault.closed_at or fault.detected_at
    return fault.pod_uid == restarted.pod_uid and fault.detected_at <= _began(restarted) < ended


def _what(cause: Cause) -> str:
    faults = " or ".join(sorted({i.fault for i in cause.alike}))
    pods = [i.pod_name for i in cause.alike]
    more = f" and {len(pods) - NAMES_MAX} more" if len(pods) > NAMES_MAX else ""
    named = ", ".join(sorted(pods)[:NAMES_MAX]) + more
    kind = "a common cause" if cause.whole_worker else "soon after a rollout"
    return f"{len(pods)} of {cause.replicas} replicas ({named}) have {faults}, {kind}"


def _refuted(trial: IncidentView) -> str:
    state = f"its incident {trial.name} was closed as {trial.outcome}" if trial.closed else _open_state(trial)
    return f"The trial restart of pod {trial.pod_name} at {_began(trial):%H:%M:%S} did not cure it ({state})."


def _open_state(trial: IncidentView) -> str:
    last = trial.last_disruption
    outcome = last.outcome if last and last.outcome else "not ended"
    return f"step {outcome}, its incident {trial.name} is {trial.phase}"


def _hint(cause: Cause) -> str:
    if cause.suspect is None:
        return " Nothing more is restarted while it stands."
    change = cause.suspect.change
    when = f"finished at {change.finished_at:%H:%M:%S}" if change.finished_at else "still under way"
    return (
        f" The rollout of revision {change.revision} (pod-template-hash {cause.suspect.template_hash}), {when}, is the"
        " suspect: put the earlier template back if it is. Nothing more is restarted while it stands."
    )
