"""Proof after a step: the probe that failed has to pass, and a canary that began later; else the ladder goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import Mode, Outcome, Rung, StepOutcome
from llm_watchdog.core.remediation import Decision, begin_rung, crashed, healed_since
from llm_watchdog.core.remediation_end import (
    ITS_OWN,
    close,
    close_untouched,
    is_its_own,
    may_come_back,
    refuted,
    settle,
    timed,
    watch_again,
    without_effect,
)

if TYPE_CHECKING:
    from datetime import datetime

    from llm_watchdog.api.policy import RemediationPolicy
    from llm_watchdog.core.case import Case
    from llm_watchdog.core.situation import Situation


def verify(case: Case, situation: Situation) -> Decision:
    """A step ended: proven, refuted, or not known yet."""
    step = case.status.steps[-1]
    ended = step.finished_at or step.started_at
    proved = healed_since(case, ended, situation)
    if proved is not None:
        return Decision(case=_recovered(case, proved, situation))
    if situation.modes.of(case.fault) is Mode.OBSERVE:
        return Decision(case=case)
    if step.step is Rung.DRAIN or step.outcome is not None:
        return Decision(case=_next_rung(case, situation) if situation.faulty(case.fault) else case)
    # Not repeated, however many attempts are left: the kubelet starts it over and over already.
    ended_again = "" if case.order is None else crashed(case, situation)
    if not ended_again and situation.faulty(case.fault, since=ended):
        return Decision(case=_not_cured(case, situation))
    given_up = _given_up(case, ended, ended_again, situation)
    if given_up is None:
        return Decision(case=case)
    return Decision(case=_next_rung(case.judge_step(*given_up, situation.now), situation))


def _given_up(case: Case, ended: datetime, ended_again: str, situation: Situation) -> tuple[StepOutcome, str] | None:
    if ended_again:
        return StepOutcome.FAILED, ended_again
    limit = _proven_within(case.status.steps[-1].step, situation.policy.remediation)
    if (situation.now - ended).total_seconds() < limit:
        return None
    return StepOutcome.TIMED_OUT, f"no canary passed within {limit:.0f} s"


def _proven_within(rung: Rung, remediation: RemediationPolicy) -> float:
    """Seconds."""
    limits = {Rung.ABORT_REQUEST: remediation.abort_timeout, Rung.FLUSH_CACHE: remediation.flush_timeout}
    return limits.get(rung, remediation.startup_timeout)


def _not_cured(case: Case, situation: Situation) -> Case:
    return _go_on(refuted(case, situation.finding(case.fault), situation), situation)


def _next_rung(case: Case, situation: Situation) -> Case:
    return _go_on(case.climbed(), situation)


def _go_on(case: Case, situation: Situation) -> Case:
    # After an abort it may not have left rotation, nor is there the evidence for more.
    aborted = case.status.steps[-1].step is Rung.ABORT_REQUEST
    return watch_again(case) if aborted or situation.modes.held(case.fault) else begin_rung(case, situation)


def _recovered(case: Case, proved: datetime, situation: Situation) -> Case:
    last = case.status.steps[-1]
    if is_its_own(case, situation):
        return close_untouched(case.judge_step(StepOutcome.FAILED, ITS_OWN, situation.now), situation)
    proof = f"canary that began {(proved - (last.finished_at or proved)).total_seconds():.1f} s after the step passed"
    if last.outcome is None:
        vain = without_effect(case, situation)
        outcome = StepOutcome.FAILED if vain else StepOutcome.SUCCEEDED
        case = case.judge_step(outcome, vain or proof, situation.now)
    if may_come_back(case):
        return settle(case, situation)
    helped = case.status.steps[-1].outcome is StepOutcome.SUCCEEDED
    how = f"by {last.step}" if helped else f"though {last.step} had failed"
    return close(timed(case, situation), Outcome.RECOVERED, situation, f"Recovered {how}: {proof}.")
