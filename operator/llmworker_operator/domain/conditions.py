"""The conditions of a worker, evaluated one by one from the facts of a pass. Pure.

kstatus reads `Ready`, `Reconciling` and `Stalled`. What tells of something abnormal is absent when it is not so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_watchdog.api.limits import limits
from llmworker_operator.domain.condition import Condition, ConditionType
from llmworker_operator.domain.facts import Stall, StallReason
from llmworker_operator.domain.fleet_conditions import cluster_paused, disagree, node_suspect, paused
from llmworker_operator.domain.times import read_time, write_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from llmworker_operator.domain.cluster_pause import ClusterPause
    from llmworker_operator.domain.facts import Facts

MESSAGE_MAX = 1024
"""An API server's message can be pages long; the condition is read in a terminal."""


def evaluate(facts: Facts) -> list[Condition]:
    """All conditions that hold, and the two that are always there."""
    available = _available(facts)
    candidates = (
        _ready(facts, available),
        _reconciling(facts),
        _stalled(facts),
        available,
        _degraded(facts),
        _sleeping(facts),
        _held(facts),
        _rolled_back(facts),
        _limited(facts),
        node_suspect(facts),
        disagree(facts),
        paused(facts),
        *cluster_paused(facts.pause),
    )
    return [condition for condition in candidates if condition is not None]


def unreadable(problem: str, pause: ClusterPause) -> list[Condition]:
    """Of a worker that this operator does not understand; its watchdogs have to know of the pause all the same."""
    reason = StallReason.SPEC_UNREADABLE.value
    return [
        Condition(type=ConditionType.READY, status=False, reason=reason, message=problem),
        Condition(type=ConditionType.STALLED, status=True, reason=reason, message=problem),
        *cluster_paused(pause),
    ]


def in_rotation(facts: Facts) -> int:
    return sum(1 for r in facts.replicas if r.ready and not r.terminating)


def needed(facts: Facts) -> int:
    """How many replicas in rotation make a worker available."""
    wanted = facts.worker.replicas
    return 0 if wanted == 0 else max(1, wanted - facts.worker.max_unavailable)


def _available(facts: Facts) -> Condition:
    have, need = in_rotation(facts), needed(facts)
    message = f"{have} of {facts.worker.replicas} replicas are in rotation, {need} needed"
    reason = "EnoughInRotation" if have >= need else "TooFewInRotation"
    return Condition(type=ConditionType.AVAILABLE, status=have >= need, reason=reason, message=message)


def _unfinished(facts: Facts) -> tuple[str, str] | None:
    if facts.waits:
        return "Waiting", facts.waits
    if not facts.rollout.complete:
        return "RollingOut", facts.rollout.message
    return None


def _stall_text(facts: Facts) -> tuple[str, str] | None:
    refused = [Stall(reason=StallReason.ROLLED_BACK, message=rolled_back_message(facts))] if facts.rolled_back else []
    stalls = [*facts.stalls, *([facts.rollout.failure] if facts.rollout.failure else []), *refused]
    if not stalls:
        return None
    return stalls[0].reason.value, "; ".join(stall.message for stall in stalls)


def _ready(facts: Facts, available: Condition) -> Condition:
    stalled, unfinished = _stall_text(facts), _unfinished(facts)
    if stalled:
        return Condition(type=ConditionType.READY, status=False, reason=stalled[0], message=stalled[1])
    if unfinished:
        return Condition(type=ConditionType.READY, status=False, reason=unfinished[0], message=unfinished[1])
    if facts.worker.asleep_wished and _all_asleep(facts):
        return Condition(
            type=ConditionType.READY, status=True, reason="Asleep", message="all replicas are asleep, as wished"
        )
    return Condition(
        type=ConditionType.READY, status=available.status, reason=available.reason, message=available.message
    )


def _reconciling(facts: Facts) -> Condition | None:
    unfinished = _unfinished(facts)
    if not unfinished or _stall_text(facts):
        return None
    return Condition(type=ConditionType.RECONCILING, status=True, reason=unfinished[0], message=unfinished[1])


def _stalled(facts: Facts) -> Condition | None:
    stalled = _stall_text(facts)
    if not stalled:
        return None
    return Condition(type=ConditionType.STALLED, status=True, reason=stalled[0], message=stalled[1])


def _degraded(facts: Facts) -> Condition | None:
    faulty = sorted({i.pod_name for i in facts.incidents if not i.closed})
    quarantined = sorted(r.name for r in facts.replicas if r.quarantined and not r.terminating)
    parts = []
    if faulty:
        parts.append(f"{len(faulty)} with an open incident ({', '.join(faulty)})")
    if quarantined:
        parts.append(f"{len(quarantined)} in quarantine ({', '.join(quarantined)})")
    if facts.detached:
        names = ", ".join(sorted(r.name for r in facts.detached))
        parts.append(f"{len(facts.detached)} detached and kept for a person ({names})")
    if facts.degraded:
        parts.append(facts.degraded)
    if not parts:
        return None
    kept = quarantined or facts.detached
    reason = "ReplicaFaulty" if faulty else "ReplicaQuarantined" if kept else facts.degraded_reason
    return Condition(type=ConditionType.DEGRADED, status=True, reason=reason, message="; ".join(parts))


def _all_asleep(facts: Facts) -> bool:
    living = [r for r in facts.replicas if not r.terminating]
    return bool(living) and all(r.asleep for r in living)


def _sleeping(facts: Facts) -> Condition | None:
    if not _all_asleep(facts):
        return None
    reason = "AsWished" if facts.worker.asleep_wished else "NotWished"
    return Condition(type=ConditionType.SLEEPING, status=True, reason=reason, message="all replicas are asleep")


def _held(facts: Facts) -> Condition | None:
    if not facts.held:
        return None
    return Condition(type=ConditionType.REMEDIATION_HELD, status=True, reason=facts.held_reason, message=facts.held)


def _rolled_back(facts: Facts) -> Condition | None:
    if not facts.rolled_back:
        return None
    return Condition(
        type=ConditionType.ROLLED_BACK, status=True, reason="BlamedByBrake", message=rolled_back_message(facts)
    )


def rolled_back_message(facts: Facts) -> str:
    """The way on first: what it was blamed for may be long."""
    return (
        "the template before this one is in force again: change spec.template, or set brake.rollback to Never to go on "
        f"with it. {facts.rolled_back}"
    )


def _limited(facts: Facts) -> Condition | None:
    """What this engine cannot show, or is not asked for; the gravest gives the reason."""
    found = limits(facts.worker.engine, facts.worker.watchdog)
    if not found:
        return None
    message = "; ".join(limit.message for limit in found)
    return Condition(type=ConditionType.LIMITED, status=True, reason=found[0].reason.value, message=message)


def dated(
    conditions: Sequence[Condition], previous: Sequence[Mapping[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """As they are written; the transition time is kept while the status stays."""
    before = {item.get("type"): item for item in previous}
    written = []
    for condition in conditions:
        status = "True" if condition.status else "False"
        old = before.get(condition.type.value) or {}
        kept = read_time(old.get("lastTransitionTime")) if old.get("status") == status else None
        written.append(
            {
                "type": condition.type.value,
                "status": status,
                "reason": condition.reason,
                "message": condition.message[:MESSAGE_MAX],
                "observedGeneration": generation,
                "lastTransitionTime": write_time(kept or now),
            }
        )
    return written


def worker_status(facts: Facts, selector: str, now: datetime) -> dict[str, Any]:
    """The whole status, from the facts and from what was written last."""
    previous = facts.worker.status.get("conditions") or ()
    living = [r for r in facts.replicas if not r.terminating]
    return {
        "observedGeneration": facts.worker.generation,
        "replicas": len(living),
        "readyReplicas": in_rotation(facts),
        "selector": selector,
        "openIncidents": sum(1 for i in facts.incidents if not i.closed),
        "conditions": dated(evaluate(facts), previous, facts.worker.generation, now),
    }
