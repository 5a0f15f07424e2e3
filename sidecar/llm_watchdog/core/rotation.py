"""In rotation or not, and why: what the readiness gate is to say now.

The gate survives a restart in place with its old value, so an engine has to be cleared by a canary of its own before
it may serve. A watchdog that merely restarted finds its engine cleared already and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import Mode, RotationReason, UnknownReason
from llm_watchdog.core.case import EngineMark, same_engine

if TYPE_CHECKING:
    from llm_watchdog.core.replica import Replica
    from llm_watchdog.core.situation import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Status, reason and message of the pod condition."""

    in_rotation: bool
    reason: RotationReason
    message: str


def clear_engine(replica: Replica, situation: Situation) -> Replica:
    """Note which engine this is, since when, and whether a canary that began since then has passed."""
    known, seen = replica.engine, situation.engine
    if seen != EngineMark():
        if known is not None and same_engine(known, seen) is not False:
            merged = EngineMark(
                container_id=seen.container_id or known.container_id,
                listener=known.listener if seen.listener is None else seen.listener,
            )
            replica = replace(replica, engine=merged)
        else:
            replica = replace(replica, engine=seen, engine_since=situation.now, cleared=False)
    if situation.verdict.unknown is UnknownReason.ASLEEP:
        # Right answers before a sleep say nothing about those after it (vllm#29341, vllm#17103).
        asleep = replace(replica, cleared=False, waking=True, engine_since=situation.now)
        return replica if replica.waking else asleep
    since = replica.engine_since or situation.process_started_at
    proved = situation.verdict.unknown is UnknownReason.NO_CANARY or situation.proved_after(since) is not None
    return replace(replica, cleared=True, waking=False) if proved else replica


def rotation(replica: Replica, situation: Situation) -> Rotation:
    """The first rule that applies decides."""
    ordered = _out_by_order(replica, situation)
    if ordered is not None:
        return ordered
    if situation.modes.mode is Mode.OBSERVE:
        return _in("mode Observe: stays in rotation whatever is found")
    return _out_by_evidence(replica, situation) or _in("its canary passed")


def _out_by_order(replica: Replica, situation: Situation) -> Rotation | None:
    if situation.draining:
        return _out(RotationReason.DRAINING, "the pod is being stopped")
    held = replica.quarantine
    if held is not None:
        return _out(RotationReason.QUARANTINED, f"held for a person since {held.since:%H:%M:%S} UTC by {held.incident}")
    return None


def _out_by_evidence(replica: Replica, situation: Situation) -> Rotation | None:
    leaving = next((case for case in replica.open_cases if case.left), None)
    if leaving is not None:
        return _out(RotationReason.FAULTY, f"{leaving.fault}: {leaving.status.reason}")
    if situation.verdict.unknown is UnknownReason.ASLEEP:
        return _out(RotationReason.ASLEEP, situation.verdict.message)
    if not replica.cleared:
        why = situation.unchecked or situation.verdict.message or "none has been sent yet"
        if replica.waking:
            return _out(RotationReason.WAKE_GATE, f"waits for the first canary and checks after the sleep: {why}")
        return _out(RotationReason.STARTING, f"waits for this engine's first canary and checks: {why}")
    return None


def _in(message: str) -> Rotation:
    return Rotation(in_rotation=True, reason=RotationReason.SERVING, message=message)


def _out(reason: RotationReason, message: str) -> Rotation:
    return Rotation(in_rotation=False, reason=reason, message=message)
