"""The mildest rung: abort the watchdog's own requests where the engine may have gone on with them.

It takes nothing from anybody, so it needs no grant and begins while the replica still serves. Users' requests are never
aborted: no engine that is known both tells which one runs away and ends that one alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import StepOutcome
from llm_watchdog.core.case import AbortOrder, Case, Stage
from llm_watchdog.core.remediation import Decision
from llm_watchdog.core.remediation_end import watch_again
from llm_watchdog.core.remediation_flush import ENDED
from llm_watchdog.core.remediation_restart import called_off
from llm_watchdog.core.situation import OrderState

if TYPE_CHECKING:
    from llm_watchdog.core.situation import Situation


def abort(case: Case, situation: Situation) -> Decision:
    """Order, and wait for the answer."""
    if case.abort is not None:
        return Decision(case=_answered(case, case.abort, situation))
    undone = called_off(case, situation)
    if undone is not None:
        return Decision(case=undone)
    order = AbortOrder(id=f"{case.name}-abort-{int(situation.now.timestamp() * 1000)}", at=situation.now)
    return Decision(case=replace(case, abort=order), abort=order)


def _answered(case: Case, order: AbortOrder, situation: Situation) -> Case:
    answer, limit = situation.abort, situation.policy.remediation.abort_timeout
    if answer is None or answer.state is OrderState.PENDING:
        if (situation.now - order.at).total_seconds() < limit:
            return case
        return _over(case, StepOutcome.TIMED_OUT, f"the abort was not answered within {limit:.0f} s", situation)
    if answer.state is OrderState.ABSENT:
        return replace(case, abort=None)
    if answer.state is OrderState.HONOURED:
        # The phase stays: what needed no grant must not look like a granted step to the budget.
        return replace(case.finish_step(situation.now), stage=Stage.VERIFYING, abort=None)
    return _over(case, ENDED[answer.state], answer.message, situation)


def _over(case: Case, outcome: StepOutcome, why: str, situation: Situation) -> Case:
    """It did nothing. The next rung may ask for more evidence, and for rotation to be left."""
    judged = replace(case.judge_step(outcome, why, situation.now), abort=None)
    return watch_again(judged.climbed())
