"""After somebody else's sleep and wake the prefix cache may hold what its memory no longer does.

Both vllm#17103 and vllm#16234 tell of it. So it is flushed before the checks of the wake gate are made, where the
engine can be flushed and the mode allows it. No fault was found, so there is no incident; what was done is told all the
same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import FaultClass, Mode, StepOutcome, UnknownReason
from llm_watchdog.core.cache_memory import nothing_emptied
from llm_watchdog.core.case import FlushOrder
from llm_watchdog.core.records import changed
from llm_watchdog.core.remediation_flush import ENDED, unserved
from llm_watchdog.core.situation import OrderState

if TYPE_CHECKING:
    from llm_watchdog.core.replica import Replica
    from llm_watchdog.core.situation import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Precaution:
    """One for each wake."""

    since: datetime
    """When the wake was noticed."""
    flush: FlushOrder | None = None
    outcome: StepOutcome | None = None
    message: str = ""

    @property
    def pending(self) -> bool:
        """Not over yet: the replica stays out of rotation, for as long as a drain may take at most."""
        return self.outcome is None


def take_precaution(replica: Replica, situation: Situation) -> tuple[Replica, FlushOrder | None]:
    """One look. The order, if there is one, is carried out once the replica is in the journal."""
    precaution = replica.precaution
    if situation.verdict.unknown is UnknownReason.ASLEEP:
        return changed(replica, precaution=None), None
    ignored = situation.modes.of(FaultClass.DEGRADED_OUTPUT) is Mode.OFF
    if precaution is None and replica.waking and situation.can_flush and not ignored:
        return _begin(replica, situation), None
    if precaution is None:
        return replica, None
    if not precaution.pending:
        return _judged(replica, precaution, situation), None
    if precaution.flush is not None:
        return _answered(replica, precaution, situation), None
    return _go_on(replica, precaution, situation)


def _go_on(replica: Replica, precaution: Precaution, situation: Situation) -> tuple[Replica, FlushOrder | None]:
    if replica.standing:
        why = f"not flushed: {replica.standing[0].fault} was found before it could be"
        return _over(replica, precaution, StepOutcome.FAILED, why), None
    if situation.modes.of(FaultClass.DEGRADED_OUTPUT) is not Mode.ENFORCE:
        why = f"not flushed: the mode is {situation.modes.of(FaultClass.DEGRADED_OUTPUT)} now"
        return _over(replica, precaution, StepOutcome.DRY_RUN, why), None
    ended = unserved(situation, since=precaution.since)
    if ended is None:
        return replica, None
    outcome, why = ended
    if outcome is not StepOutcome.SUCCEEDED:
        return _over(replica, precaution, outcome, why), None
    order = FlushOrder(id=f"wake-flush-{int(precaution.since.timestamp() * 1000)}", at=situation.now)
    return changed(replica, precaution=replace(precaution, flush=order)), order


def _judged(replica: Replica, precaution: Precaution, situation: Situation) -> Replica:
    """What the first check after it has found. It serves all the same if its checks pass: no fault was found."""
    if precaution.outcome is not StepOutcome.SUCCEEDED or not situation.kept_tokens:
        return replica
    return _over(replica, precaution, StepOutcome.FAILED, nothing_emptied(situation.kept_tokens))


def _begin(replica: Replica, situation: Situation) -> Replica:
    begun = Precaution(since=situation.now, message="it slept and woke: its prefix cache is flushed before it serves")
    if situation.modes.of(FaultClass.DEGRADED_OUTPUT) is Mode.OBSERVE:
        begun = replace(
            begun,
            outcome=StepOutcome.DRY_RUN,
            message="mode is Observe: after this sleep and wake the prefix cache would be flushed now",
        )
    return changed(replica, precaution=begun)


def _answered(replica: Replica, precaution: Precaution, situation: Situation) -> Replica:
    answer = situation.flush
    if answer is None or answer.state is OrderState.PENDING:
        return replica
    if answer.state is OrderState.ABSENT:
        return changed(replica, precaution=replace(precaution, flush=None))
    if answer.state is OrderState.HONOURED:
        # What passed before the flush says nothing about the cache that fills from here on.
        anew = changed(replica, cleared=False, engine_since=situation.now)
        return _over(anew, precaution, StepOutcome.SUCCEEDED, answer.message)
    return _over(replica, precaution, ENDED[answer.state], answer.message)


def _over(replica: Replica, precaution: Precaution, outcome: StepOutcome, message: str) -> Replica:
    return changed(replica, precaution=replace(precaution, flush=None, outcome=outcome, message=message))
