"""Whether a scenario ended as it should have, worker by worker. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.remediation.plan import MAX_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.remediation.plan import WorkerPlan
    from benchmarks.remediation.watched import Seen


def wrong_ends(
    plans: Sequence[WorkerPlan], record: Sequence[Seen], conditions: Mapping[tuple[str, str], str]
) -> list[str]:
    """Workers in which less or more happened than should have."""
    last = {seen.incident: seen for seen in record}
    closed = Counter(seen.worker for seen in last.values() if seen.closed)
    held_back = {plan.key: reason for plan in plans if (reason := _held_back(plan))}
    found = [
        f"{plan.name}: {closed[plan.key]} incidents ended, not {plan.ends}"
        for plan in plans
        if plan.ends is not None and closed[plan.key] != plan.ends
    ]
    found += [f"{plan.name}: no trial ended" for plan in plans if plan.is_held and not closed[plan.key]]
    found += [
        f"{name}: RemediationHeld is {conditions.get((namespace, name), 'absent')}, not {held_back[namespace, name]}"
        for namespace, name in held_back
        if conditions.get((namespace, name)) != held_back[namespace, name]
    ]
    others = conditions.keys() - held_back.keys()
    return found + [f"{key[1]}: RemediationHeld is {conditions[key]}" for key in sorted(others)]


def _held_back(plan: WorkerPlan) -> str:
    """Reason of `RemediationHeld` at the end."""
    if plan.is_held:
        return "CommonCause"
    return "HourlyLimit" if len(plan.faulty) > MAX_PER_HOUR else ""


def unlike(counted: int, seen: int) -> list[str]:
    """The operator's own count of its grants is the proof that the watch missed none."""
    return [] if counted == seen else [f"the operator counts {counted} grants, the watch showed {seen}"]
