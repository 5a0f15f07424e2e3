"""In rotation or not, and why: what the readiness gate is to say now.

The gate survives a restart in place with its old value, so an engine has to be cleared by a canary of its own before
it may serve. A watchdog that merely restarted finds its engine cleared already and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import Mode, RotationReason, UnknownReason
from llm_watchdog.core.case import EngineMark, same_engine
from llm_watchdog.core.power import PowerStage
from llm_watchdog.core.records import changed

if TYPE_CHECKING:
    from llm_watchdog.core.replica import Replica
    from llm_watchdog.core.situation import Situation

SLACK: Final = timedelta(milliseconds=5)
"""The same monotonic instant, converted to the wall clock at two instants."""

_NO_PROOF_TO_COME: Final = frozenset(
    {UnknownReason.NO_CANARY, UnknownReason.UNLOADED, UnknownReason.TOKENS_SPENT, UnknownReason.ASLEEP}
)
"""A check that cannot be made holds nothing out of rotation. (Asleep is out for that very reason.)"""


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
        # Nobody listened then: whoever answers since is this engine, also before its socket is seen for the first time.
        came_up = known is not None and known.listener == 0 and bool(seen.listener)
        if known is not None and (came_up or same_engine(known, seen) is not False):
            merged = EngineMark(
                container_id=seen.container_id or known.container_id,
                listener=known.listener if seen.listener is None else seen.listener,
            )
            replica = changed(replica, engine=merged)
        else:
            replica = changed(replica, engine=seen, engine_since=situation.now, cleared=False)
    replica = _started_over(replica, situation)
    if situation.verdict.unknown is UnknownReason.ASLEEP:
        # Right answers before a sleep say nothing about those after it (vllm#29341, vllm#17103).
        asleep = changed(replica, cleared=False, waking=True, engine_since=situation.now)
        return replica if replica.waking else asleep
    since = replica.engine_since or situation.process_started_at
    if replica.precaution is not None and replica.precaution.pending:
        return replica
    proved = situation.verdict.unknown in _NO_PROOF_TO_COME or situation.proved_after(since) is not None
    return changed(replica, cleared=True, waking=False) if proved else replica


def _started_over(replica: Replica, situation: Situation) -> Replica:
    """What the sockets cannot show: a load or a drain in the same process, or another process on another host."""
    over = situation.verdict.started_over_at
    at = None if over is None else situation.when(over)
    since = replica.engine_since or situation.process_started_at
    if at is None or at <= since + SLACK:
        return replica
    return changed(replica, engine_since=at, cleared=False)


def doubt(replica: Replica, situation: Situation) -> Replica:
    """On suspicion a silent replica leaves at once, with no incident yet; the first sign of health brings it back."""
    suspected = situation.suspected()
    if suspected is not None:
        return replica if replica.doubted is suspected else changed(replica, doubted=suspected)
    over = situation.verdict.is_well or situation.verdict.unknown in _NO_PROOF_TO_COME
    return changed(replica, doubted=None) if over and replica.doubted is not None else replica


def rotation(replica: Replica, situation: Situation) -> Rotation:
    """The first rule that applies decides."""
    ordered = _out_by_order(replica, situation)
    if ordered is not None:
        return ordered
    if situation.modes.mode is not Mode.ENFORCE:
        only_by_class = _in(f"mode {situation.modes.mode}: stays in rotation whatever is found")
        return _out_by_fault(replica, situation) or only_by_class
    return _out_by_evidence(replica, situation) or _in("its canary passed")


def advised(replica: Replica, situation: Situation) -> Rotation:
    """The same, and under Observe what it would be under Enforce, where an open incident costs rotation."""
    if situation.modes.mode is not Mode.OBSERVE:
        return rotation(replica, situation)
    ordered = _out_by_order(replica, situation)
    if ordered is not None:
        return ordered
    faulty = next(iter(replica.standing), None)
    if faulty is not None:
        return _out(RotationReason.FAULTY, f"{faulty.fault}: {faulty.status.reason}")
    return _out_by_evidence(replica, situation) or _in("its canary passed")


_STAGES: Final = {
    PowerStage.LEAVING: RotationReason.DRAINING,
    PowerStage.WAKING: RotationReason.WAKE_GATE,
    PowerStage.PROVING: RotationReason.WAKE_GATE,
}
"""All others of a replica that is to sleep are told as asleep."""


def _out_by_order(replica: Replica, situation: Situation) -> Rotation | None:
    if situation.draining:
        return _out(RotationReason.DRAINING, "the pod is being stopped")
    held = replica.quarantine
    if held is not None:
        return _out(RotationReason.QUARANTINED, f"held for a person since {held.since:%H:%M:%S} UTC by {held.incident}")
    power = replica.power
    if power.holds and situation.can_sleep:
        return _out(_STAGES.get(power.stage, RotationReason.ASLEEP), f"power: {power.message or power.stage}")
    return None


def _out_by_fault(replica: Replica, situation: Situation) -> Rotation | None:
    """What has consequences for rotation: classes whose mode is `Enforce`, and no others."""
    modes = situation.modes
    leaving = next((case for case in replica.open_cases if case.left and modes.of(case.fault) is Mode.ENFORCE), None)
    if leaving is not None:
        return _out(RotationReason.FAULTY, f"{leaving.fault}: {leaving.status.reason}")
    doubted = replica.doubted
    if doubted is None or modes.of(doubted) is not Mode.ENFORCE or situation.verdict.unknown is UnknownReason.ASLEEP:
        return None
    return _out(RotationReason.FAULTY, f"suspected of {doubted}: {situation.verdict.message}")


def _out_by_evidence(replica: Replica, situation: Situation) -> Rotation | None:
    faulty = _out_by_fault(replica, situation)
    if faulty is not None:
        return faulty
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
