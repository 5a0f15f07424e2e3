"""The life of one incident, one look at a time: `advance` says where it stands next and what is to be done.

Level-triggered: every stage is left only for reasons that can be seen again after a crash. Rungs that restart are in
`remediation_restart`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from llm_watchdog.api.incident import EVIDENCE_MAX, Evidence
from llm_watchdog.api.reasons import (
    FaultClass,
    GrantableStep,
    Mode,
    Outcome,
    Phase,
    RestartMethod,
    Rung,
    StepOutcome,
    VerdictState,
)
from llm_watchdog.core.case import AbortOrder, Case, FlushOrder, Order, Stage
from llm_watchdog.core.container import start_failure
from llm_watchdog.core.remediation_end import and_then, came_back, close, settle

if TYPE_CHECKING:
    from datetime import datetime

    from llm_watchdog.core.findings import Finding
    from llm_watchdog.core.situation import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`case` is to be in the journal before anything is carried out."""

    case: Case
    restart: Order | None = None
    flush: FlushOrder | None = None
    abort: AbortOrder | None = None


def look(case: Case, situation: Situation, *, lead: bool, barred: bool) -> Case:
    """What may be noted at any stage: the finding's return, its text, that it left rotation, and when.

    Who serves nothing, or is `barred` since its start or wake, takes no capacity away by leaving: it asks nobody.
    """
    finding = situation.finding(case.fault)
    if case.closed or situation.verdict.state is VerdictState.UNKNOWN:
        return case
    if finding is None:
        return replace(case, present=False)
    if not case.present:
        back = came_back(case, finding, situation) if case.calm_since is not None else case
        case = replace(back, present=True).with_status(occurrences=case.status.occurrences + 1)
    if finding.reason is not case.status.reason:
        case = case.with_status(reason=finding.reason, message=finding.message)
    if finding.state is not case.status.verdict:
        case = case.with_status(verdict=finding.state)
    enforced = situation.modes.of(case.fault) is Mode.ENFORCE
    if case.left != (enforced and (case.left or (lead and (finding.silent or barred)))):
        case = replace(case, left=not case.left)
    return case


def note_departure(case: Case, situation: Situation) -> Case:
    """When the API server showed the replica out of rotation for the first time."""
    gate = situation.gate
    if not case.left or case.status.out_of_rotation_at is not None or gate is None or gate.in_rotation:
        return case
    return case.with_status(out_of_rotation_at=gate.since)


def note_pause(case: Case, situation: Situation) -> Case:
    """The message says that everything waits, and why, for as long as it does."""
    message, reason = case.status.message, situation.modes.pause
    if case.closed:
        return case
    note = f"paused: {reason}." if reason and situation.modes.of(case.fault) is Mode.ENFORCE else ""
    if note == case.pause_note and note in message:
        return case
    if case.pause_note:
        message = message.replace(case.pause_note, "").rstrip()
    without = replace(case, pause_note=note).with_status(message=message)
    return without.with_status(message=and_then(without, note)) if note else without


def switch_off(case: Case, situation: Situation) -> Case:
    """The mode is `Off`: what has not begun never will; what has begun is proven first."""
    if case.closed or situation.modes.of(case.fault) is not Mode.OFF or _begun(case):
        return case
    if case.status.steps and case.status.steps[-1].outcome is None:
        case = case.judge_step(StepOutcome.FAILED, "not carried out: the mode is Off now", situation.now)
    return close(case, Outcome.OBSERVED, situation, "The mode is Off now: nothing more is done or recorded.")


def _begun(case: Case) -> bool:
    """An order is out, or what it did is not proven yet."""
    unproven = case.stage is Stage.VERIFYING and case.status.steps[-1].outcome is None
    return unproven or case.stage is Stage.ORDERED or case.flush is not None or case.abort is not None


def healed_since(case: Case, since: datetime, situation: Situation) -> datetime | None:
    """A proof of health that began later; never while a finding of this class stands."""
    if situation.finding(case.fault) is not None:
        return None
    return situation.proved_after(since)


def fault_stands(case: Case, situation: Situation) -> bool:
    """Seen to be faulty now. After a restart of ours also: the engine that it brought ends, or does not come up."""
    if situation.faulty(case.fault):
        return True
    return case.restarted and (situation.faulty(FaultClass.ENGINE_DEAD) or bool(crashed(case, situation)))


def crashed(case: Case, situation: Situation) -> str:
    """What the kubelet says of the end of the engine that our last restart brought; empty: nothing."""
    restart = next((step for step in reversed(case.status.steps) if step.step is Rung.RESTART), None)
    if restart is None or case.engine is None:
        return ""
    return start_failure(situation.container, case.engine, restart.started_at)


def watch(case: Case, situation: Situation) -> Decision:
    """The finding stands and nothing has begun."""
    if healed_since(case, case.incident.spec.detected_at, situation) is not None:
        return Decision(case=settle(case, situation))
    if situation.finding(case.fault) is None and not fault_stands(case, situation):
        return Decision(case=case)
    if situation.modes.of(case.fault) is Mode.OBSERVE:
        return Decision(case=_describe(case, situation))
    return Decision(case=_begin(case, situation))


def _begin(case: Case, situation: Situation) -> Case:
    if situation.modes.held(case.fault):
        return case
    if case.incident.spec.mode is Mode.OBSERVE:
        message = "The mode is Enforce now: a new incident goes on from here."
        return close(case, Outcome.OBSERVED, situation, message)
    if case.at_a_cure(situation.abortable).next_rung is Rung.ABORT_REQUEST:
        return begin_rung(case, situation)
    if not case.left:
        return ask(case, GrantableStep.LEAVE_ROTATION)
    return begin_rung(case, situation) if fault_stands(case, situation) else case


def _describe(case: Case, situation: Situation) -> Case:
    """Observe: write down the step that would begin now, once."""
    if case.was_observed or not situation.faulty(case.fault):
        return case
    case = case.at_a_cure(situation.abortable)
    why = "mode is Observe: this step would begin now"
    return case.begin_step(case.next_rung, situation.now).judge_step(StepOutcome.DRY_RUN, why, situation.now)


def begin_rung(case: Case, situation: Situation) -> Case:
    """Write down the next rung, or ask for the permission that it needs."""
    case = case.at_a_cure(situation.abortable)
    rung = case.next_rung
    match rung:
        case Rung.ABORT_REQUEST:
            return replace(case.begin_step(rung, situation.now), stage=Stage.ABORTING, abort=None)
        case Rung.FLUSH_CACHE:
            return _begin_flush(case, situation)
        case Rung.DRAIN:
            return replace(case.begin_step(rung, situation.now), stage=Stage.DRAINING)
        case Rung.RESTART:
            return _ask_for_restart(case, situation)
        case Rung.REPLACE_POD:
            return _ask_for_another_pod(case, situation)
        case Rung.QUARANTINE:
            held = case.begin_step(rung, situation.now).judge_step(
                StepOutcome.SUCCEEDED, "held out of rotation for a person", situation.now
            )
            return close(held, Outcome.QUARANTINED, situation, "Quarantined: the ladder is used up.")
        case _:
            assert_never(rung)


def _begin_flush(case: Case, situation: Situation) -> Case:
    if situation.can_flush:
        return replace(case.begin_step(Rung.FLUSH_CACHE, situation.now), stage=Stage.FLUSHING, flush=None)
    return _pass_over(case, "the prefix cache of this kind of engine cannot be flushed", situation)


def _ask_for_restart(case: Case, situation: Situation) -> Case:
    if situation.restart_method is RestartMethod.UNAVAILABLE:
        return _pass_over(case, "no restart method works in this pod", situation)
    if situation.restarts_spent:
        return _pass_over(case, situation.restarts_spent, situation)
    return ask(case, GrantableStep.RESTART)


def _ask_for_another_pod(case: Case, situation: Situation) -> Case:
    if situation.has_operator:
        return ask(case, GrantableStep.REPLACE_POD)
    return _pass_over(case, "there is no operator that could replace a pod", situation)


def _pass_over(case: Case, why: str, situation: Situation) -> Case:
    passed_over = case.begin_step(case.next_rung, situation.now).judge_step(StepOutcome.UNAVAILABLE, why, situation.now)
    return begin_rung(passed_over.climbed(), situation)


def ask(case: Case, step: GrantableStep) -> Case:
    """Ask the operator."""
    return replace(case, stage=Stage.AWAITING).with_status(phase=Phase.AWAITING_GRANT, requested_step=step)


def drain(case: Case, situation: Situation) -> Decision:
    """Out of rotation, wait for what is in flight, as long as it moves."""
    finding = situation.finding(case.fault)
    since = case.status.steps[-1].started_at
    ended = drained(situation, silent=finding is not None and finding.silent, since=since)
    if ended is None:
        return Decision(case=case)
    outcome, proof = ended
    # The phase stays: a drain that needed no grant must not look like a granted step to the budget.
    return Decision(case=replace(case.judge_step(outcome, proof, situation.now), stage=Stage.VERIFYING))


def drained(situation: Situation, *, silent: bool, since: datetime) -> tuple[StepOutcome, str] | None:
    """How a drain that began at `since` ended; None while it goes on."""
    traffic = situation.traffic
    waited = (situation.now - since).total_seconds()
    if silent:
        return StepOutcome.SUCCEEDED, "nobody is being served, so there was nothing to wait for"
    if traffic.in_flight == 0:
        return StepOutcome.SUCCEEDED, f"no request in flight after {waited:.1f} s"
    if waited >= situation.policy.remediation.drain_timeout:
        left = "an unknown number of" if traffic.in_flight is None else traffic.in_flight
        return StepOutcome.TIMED_OUT, f"{left} requests in flight after {waited:.1f} s"
    return None


def more_evidence(case: Case, finding: Finding, situation: Situation) -> Case:
    """Add what was seen since the last entry; keep the first half and the last half of what is allowed."""
    newest = max((entry.at for entry in case.status.evidence), default=None)
    seen = [Evidence(at=situation.when(sign.at), kind=sign.kind, message=sign.message) for sign in finding.signs]
    # A microsecond's slack: the same sign, converted from the monotonic clock at another instant.
    slack = timedelta(milliseconds=5)
    added = [entry for entry in seen if newest is None or entry.at > newest + slack]
    evidence = [*case.status.evidence, *added]
    if len(evidence) > EVIDENCE_MAX:
        half = EVIDENCE_MAX // 2
        evidence = [*evidence[:half], *evidence[-half:]]
    return case.with_status(evidence=evidence) if added else case
