"""How an incident ends; and that a fault which comes and goes is counted on one of them, for as long as it does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FindingReason, Mode, Outcome, Phase, Rung, StepOutcome
from llm_watchdog.core.cache_memory import nothing_emptied
from llm_watchdog.core.case import Stage

if TYPE_CHECKING:
    from llm_watchdog.api.incident import Step
    from llm_watchdog.core.case import Case
    from llm_watchdog.core.findings import Finding
    from llm_watchdog.core.situation import Situation

QUIET: Final = timedelta(seconds=300)
"""What comes back sooner is the same fault: also how far apart the faults of several replicas may be to belong
together (`brake.window`)."""

DISRUPTIVE: Final = frozenset({Rung.RESTART, Rung.REPLACE_POD})
_NOT_MADE: Final = frozenset({StepOutcome.UNAVAILABLE, StepOutcome.DRY_RUN})
_CURES: Final = frozenset({Rung.ABORT_REQUEST, Rung.FLUSH_CACHE})
"""May have cured it although no engine was restarted."""

ITS_OWN: Final = "a restart did not change what it answers"


def watch_again(case: Case) -> Case:
    """Nothing is asked for any more."""
    return replace(case, stage=Stage.WATCHING).with_status(phase=Phase.OPEN, requested_step=None)


def close(case: Case, outcome: Outcome, situation: Situation, message: str) -> Case:
    """The end of it."""
    ended = case.with_status(
        phase=Phase.CLOSED,
        outcome=outcome,
        requested_step=None,
        closed_at=situation.now,
        message=and_then(case, message),
    )
    return replace(ended, stage=Stage.CLOSED)


def and_then(case: Case, sentence: str) -> str:
    """The record's message, and one more sentence."""
    so_far = case.status.message.rstrip(".")
    return f"{so_far}. {sentence}" if so_far else sentence


def timed(case: Case, situation: Situation) -> Case:
    """It ended well: how long that took."""
    recovery = ((case.calm_since or situation.now) - case.incident.spec.detected_at).total_seconds()
    return case.with_status(time_to_recover_seconds=round(recovery, 3))


def close_untouched(case: Case, situation: Situation) -> Case:
    """Healthy again while no step was under way."""
    if is_its_own(case, situation):
        message = f"{ITS_OWN.capitalize()}, so no other is made and it serves: look at its model files and its device."
        return close(case, Outcome.OBSERVED, situation, message)
    cure = _cure(case)
    times = "" if case.calm_since is None else f" It was seen {case.status.occurrences} times in all."
    if case.restarted:
        return close(timed(case, situation), Outcome.RECOVERED, situation, "Healthy again after the last restart.")
    if case.was_observed or situation.modes.of(case.fault) is Mode.OBSERVE:
        return close(case, Outcome.OBSERVED, situation, f"Healthy again; mode Observe, nothing was done.{times}")
    if cure is not None:
        return recovered(case, cure, situation, times)
    return close(case, Outcome.SELF_HEALED, situation, f"Healthy again before a restart began.{times}")


def is_its_own(case: Case, situation: Situation) -> bool:
    """It answers unlike the other replicas, and a restart has shown that this is no state that it had got into."""
    return case.status.reason is FindingReason.DISSENTS and situation.baseline.kept


def recovered(case: Case, cure: Step, situation: Situation, more: str = "") -> Case:
    """The step is judged, and its proof is on record."""
    return close(timed(case, situation), Outcome.RECOVERED, situation, f"Recovered by {cure.step}: {cure.proof}.{more}")


def settle(case: Case, situation: Situation) -> Case:
    """Healthy again while no step is under way: the end of it, unless it has come back before.

    Then it is kept open, in rotation and without holding any budget, until it has stayed away for long enough.
    """
    if not may_come_back(case):
        return close_untouched(case, situation)
    if case.calm_since is None:
        return replace(watch_again(case), left=False, calm_since=situation.now)
    return close_untouched(case, situation) if situation.now - case.calm_since >= QUIET else case


def may_come_back(case: Case) -> bool:
    """It has before. What took a restart ends with the proof of that, which gives the budget back."""
    return case.recurs and not any(
        step.step in DISRUPTIVE and step.outcome not in _NOT_MADE for step in case.status.steps
    )


def came_back(case: Case, finding: Finding, situation: Situation) -> Case:
    """The fault is seen again: what seemed to have cured it did not, and what led to nothing is to be made again."""
    back = replace(case, calm_since=None)
    return _undrained(back) if _cure(case) is None else refuted(back, finding, situation)


def refuted(case: Case, finding: Finding | None, situation: Situation) -> Case:
    """The last step was carried out and the fault seen again since: the only ground for another attempt at it."""
    back = f"the fault is back: {finding.message}" if finding else "the fault is back"
    why = without_effect(case, situation) or back
    allowed = situation.policy.remediation.attempts.of(case.status.steps[-1].step)
    if allowed > 1:
        why = f"attempt {case.attempt} of {allowed}: {why}"
    judged = case.judge_step(StepOutcome.FAILED, why, situation.now)
    return judged.climbed() if case.attempt >= allowed else replace(judged, attempt=case.attempt + 1, order=None)


def without_effect(case: Case, situation: Situation) -> str:
    """Why the last step was none, whatever the engine answered and whoever is well again; empty: it was one."""
    flushed = case.status.steps[-1].step is Rung.FLUSH_CACHE
    return nothing_emptied(situation.kept_tokens) if flushed and situation.kept_tokens else ""


def _cure(case: Case) -> Step | None:
    last = case.status.steps[-1] if case.status.steps else None
    return last if last is not None and last.step in _CURES and last.outcome is StepOutcome.SUCCEEDED else None


def _undrained(case: Case) -> Case:
    """It has served since, so it is drained anew; on record is the last of these drains, or a storm would fill it."""
    steps = case.status.steps
    made = [n for n, step in enumerate(steps) if step.step is Rung.DRAIN and step.outcome is not StepOutcome.DRY_RUN]
    if not made or Rung.DRAIN not in case.ladder:
        return case
    if any(step.outcome is not StepOutcome.UNAVAILABLE for step in steps[made[-1] + 1 :]):
        return case
    return replace(case.with_status(steps=steps[: made[-1]]), rung=case.ladder.index(Rung.DRAIN), attempt=1)
