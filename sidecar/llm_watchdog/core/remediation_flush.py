"""The rung that empties the prefix cache, where the cache is to blame. Out of rotation, drain, flush, prove its effect.

Engines flush only while nothing runs, and some answer 200 although they did nothing (vLLM up to 0.25): so nobody may be
served any more when the order is given, and the checks, all made anew, say whether it helped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import Phase, StepOutcome
from llm_watchdog.core.case import Case, FlushOrder, Stage
from llm_watchdog.core.remediation import Decision, drained
from llm_watchdog.core.remediation_restart import acting, called_off, departed
from llm_watchdog.core.situation import OrderState

if TYPE_CHECKING:
    from datetime import datetime

    from llm_watchdog.core.situation import OrderAnswer, Situation

ENDED: Final[dict[OrderState, StepOutcome]] = {
    OrderState.REFUSED: StepOutcome.FAILED,
    OrderState.TIMED_OUT: StepOutcome.TIMED_OUT,
    OrderState.UNAVAILABLE: StepOutcome.UNAVAILABLE,
}
"""How a flush fails, and what its step is called then."""


def flush(case: Case, situation: Situation) -> Decision:
    """Wait until nobody is served, order, and wait for the answer."""
    if case.flush is not None:
        return _answered(case, situation)
    undone = called_off(case, situation)
    if undone is not None:
        return Decision(case=undone)
    ended = unserved(situation, since=case.status.steps[-1].started_at)
    if ended is None:
        return Decision(case=case)
    if ended[0] is StepOutcome.SUCCEEDED:
        return _order(case, situation)
    return Decision(case=_over(case, *ended, situation))


def unserved(situation: Situation, *, since: datetime) -> tuple[StepOutcome, str] | None:
    """Is it out of rotation, and its last user gone? None: wait."""
    ended = drained(situation, silent=False, since=since) if departed(situation) else None
    if ended is None or ended[0] is StepOutcome.SUCCEEDED:
        return ended
    return ended[0], f"not flushed beside users: {ended[1]}"


def _order(case: Case, situation: Situation) -> Decision:
    order = FlushOrder(id=f"{case.name}-flush-{int(situation.now.timestamp() * 1000)}", at=situation.now)
    return Decision(case=replace(acting(case, situation), flush=order), flush=order)


def _answered(case: Case, situation: Situation) -> Decision:
    answer: OrderAnswer | None = situation.flush
    if answer is None or answer.state is OrderState.PENDING:
        return Decision(case=_unanswered(case, situation))
    if answer.state is OrderState.ABSENT:
        return Decision(case=replace(case, flush=None))
    if answer.state is OrderState.HONOURED:
        flushed = case.finish_step(situation.now).with_status(phase=Phase.VERIFYING)
        return Decision(case=replace(flushed, stage=Stage.VERIFYING, flush=None))
    return Decision(case=_over(case, ENDED[answer.state], answer.message, situation))


def _unanswered(case: Case, situation: Situation) -> Case:
    limit = situation.policy.remediation.flush_timeout
    if case.flush is None or (situation.now - case.flush.at).total_seconds() < limit:
        return case
    return _over(case, StepOutcome.TIMED_OUT, f"the flush was not answered within {limit:.0f} s", situation)


def _over(case: Case, outcome: StepOutcome, why: str, situation: Situation) -> Case:
    """It did nothing. Whether the next rung is due, the verdict says."""
    return replace(case.judge_step(outcome, why, situation.now), stage=Stage.VERIFYING, flush=None)
