"""The rung that kills: ask, claim, order, and find out whether the engine really is a new one.

Nothing here restarts on doubt: the verdict must be `Faulty` in the very pass that gives the order.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import GrantableStep, Outcome, Phase, RestartMethod, Rung, StepOutcome
from llm_watchdog.core.case import Case, EngineMark, Order, Stage, engine_is_new
from llm_watchdog.core.container import CRASH_LOOP, is_held_back
from llm_watchdog.core.remediation import Decision, ask, begin_rung, fault_stands, healed_since
from llm_watchdog.core.remediation_end import and_then, close, close_untouched, settle, watch_again
from llm_watchdog.core.situation import OrderState

if TYPE_CHECKING:
    from datetime import datetime

    from llm_watchdog.api.incident import Grant, Incident
    from llm_watchdog.core.situation import OrderAnswer, Situation

UNREACHABLE_FOR: Final = timedelta(seconds=30)
"""Invariant 4: how long the API server must have been gone before a replica helps itself, jitter not counted."""

NEW_ENGINE_WITHIN: Final = timedelta(seconds=30)
"""An engine that is still the old one after this long was not restarted. In place it takes about 3 s."""

ACCEPTED_FOR: Final = timedelta(seconds=100)
"""The same after a command accepted the restart: systemd, for one, gives a process 90 s to end before it kills it."""


_REFUSALS: Final = {OrderState.REFUSED: StepOutcome.FAILED, OrderState.TIMED_OUT: StepOutcome.TIMED_OUT}


def await_grant(case: Case, situation: Situation) -> Decision:
    """Asked; for as long as the API server is up, however long the operator is not."""
    left = _no_longer_wanted(case, situation)
    if left is not None:
        return Decision(case=left)
    if case.status.requested_step is GrantableStep.LEAVE_ROTATION:
        return Decision(case=_await_leave(case, situation))
    if case.status.requested_step is GrantableStep.REPLACE_POD:
        return Decision(case=_await_replacement(case, situation) if fault_stands(case, situation) else case)
    return Decision(case=_await_restart(case, situation) if situation.faulty(case.fault) else case)


def _await_replacement(case: Case, situation: Situation) -> Case:
    """The step is not on record yet: that is the order, and is written once the claim is known to hold."""
    granted = _granted(case, GrantableStep.REPLACE_POD, situation)
    return _claim(case, granted) if granted else case


def _await_leave(case: Case, situation: Situation) -> Case:
    if case.left:
        return watch_again(case)
    granted = _granted(case, GrantableStep.LEAVE_ROTATION, situation)
    return _claim(case, granted) if granted and situation.finding(case.fault) is not None else case


def _await_restart(case: Case, situation: Situation) -> Case:
    granted = _granted(case, GrantableStep.RESTART, situation)
    if granted:
        return _claim(case.begin_step(Rung.RESTART, situation.now), granted)
    if help_yourself(case, situation):
        return _ungranted(case.begin_step(Rung.RESTART, situation.now), situation)
    return case


def claim(case: Case, situation: Situation) -> Decision:
    """The claiming write is under way (the recorder repeats it); the API server's own copy says how it went."""
    step = case.status.requested_step
    view = situation.views.get(case.name)
    if view is not None and view.phase is Phase.ACTING:
        if step is GrantableStep.LEAVE_ROTATION:
            return Decision(case=replace(case, stage=Stage.WATCHING, left=True).with_status(requested_step=None))
        stage = Stage.REPLACING if step is GrantableStep.REPLACE_POD else Stage.CLAIMED
        return Decision(case=replace(case, stage=stage).with_status(requested_step=None))
    if view is not None and view.grant is None:
        return Decision(case=_unclaimed(case))
    if step is GrantableStep.RESTART and help_yourself(case, situation):
        return Decision(case=_ungranted(case, situation))
    return Decision(case=case)


def act(case: Case, situation: Situation) -> Decision:
    """Permitted. The order is given in a pass that sees the fault, with the replica out of rotation, or not at all."""
    undone = called_off(case, situation)
    if undone is not None:
        return Decision(case=undone)
    if case.ungranted and not _may_help_itself(case, situation):
        return Decision(case=_unclaimed(replace(case, ungranted=False)))
    method = situation.restart_method
    if method is RestartMethod.UNAVAILABLE:
        return Decision(case=_passed_over(case, situation))
    if method is None or not clear_to_act(case, situation):
        return Decision(case=case)
    return _order(case, method, situation)


def called_off(case: Case, situation: Situation) -> Case | None:
    """The step that was written down and has not begun is not wanted any more; None: it is."""
    if healed_since(case, case.incident.spec.detected_at, situation) is not None:
        undone = case.judge_step(StepOutcome.FAILED, "not carried out: a canary passed before it began", situation.now)
        return close_untouched(undone, situation)
    held = situation.modes.held(case.fault)
    if held:
        return watch_again(case.judge_step(StepOutcome.FAILED, f"not carried out: {held}", situation.now))
    return None


def acting(case: Case, situation: Situation) -> Case:
    """The first order of an incident tells how long it took to act."""
    if case.status.time_to_act_seconds is not None:
        return case
    took = (situation.now - case.incident.spec.detected_at).total_seconds()
    return case.with_status(time_to_act_seconds=round(took, 3))


def clear_to_act(case: Case, situation: Situation) -> bool:
    """Seen to be faulty now, out of rotation as the API server shows it (unless it is gone), on durable record."""
    return put_aside(situation) and situation.faulty(case.fault)


def put_aside(situation: Situation) -> bool:
    """Nothing that is done now is done under users, or without a record."""
    return departed(situation) and situation.journal_durable


def departed(situation: Situation) -> bool:
    """Out of rotation as the API server shows it, unless that is gone."""
    gate = situation.gate
    return _is_gone(situation) or (gate is not None and not gate.in_rotation)


def _order(case: Case, method: RestartMethod, situation: Situation) -> Decision:
    number = sum(step.step is Rung.RESTART for step in case.status.steps)
    stamp = int(situation.now.timestamp() * 1000)
    order = Order(id=f"{case.name}-{number}-{stamp}", incident=case.name, at=situation.now, method=method)
    ordered = replace(acting(case, situation), stage=Stage.ORDERED, order=order, engine=situation.engine)
    return Decision(case=ordered, restart=order)


def await_new_engine(case: Case, situation: Situation) -> Decision:
    """Ordered. Never ordered again from here: without a new engine the step has failed."""
    order, now = case.order, situation.now
    if order is None:
        return Decision(case=replace(case, stage=Stage.CLAIMED))
    refused = situation.refused_at is not None and situation.refused_at > order.at
    if engine_is_new(case.engine or EngineMark(), situation.engine, refused_since=refused):
        return Decision(case=_restarted(case, now))
    return Decision(case=_unanswered(case, order, situation))


def _restarted(case: Case, now: datetime) -> Case:
    ended = case.finish_step(now).with_status(phase=Phase.VERIFYING)
    return replace(ended, stage=Stage.VERIFYING, restarted=True)


def _unanswered(case: Case, order: Order, situation: Situation) -> Case:
    """Still the old engine, as far as can be seen."""
    answer = situation.order
    if answer is None:
        return case
    if answer.state is OrderState.ABSENT:
        return replace(case, stage=Stage.CLAIMED, order=None)
    if answer.state in _REFUSALS:
        return _failed(case, answer.message, situation, _REFUSALS[answer.state])
    if order.method is RestartMethod.COMMAND:
        return _commanded(case, order, answer, situation)
    return _in_place(case, order, situation)


def _in_place(case: Case, order: Order, situation: Situation) -> Case:
    waited = situation.now - order.at
    held_back = is_held_back(situation.container, case.engine or EngineMark())
    limit = timedelta(seconds=situation.policy.remediation.startup_timeout) if held_back else NEW_ENGINE_WITHIN
    if situation.now - max(order.at, situation.process_started_at) < limit:
        return case
    since = f"{waited.total_seconds():.0f} s after the order"
    kept_back = f"the old engine has ended, and {since} the kubelet has started none: {CRASH_LOOP}"
    return _failed(case, kept_back if held_back else f"the engine is still the same one {since}", situation)


def _commanded(case: Case, order: Order, answer: OrderAnswer, situation: Situation) -> Case:
    """A command has its own time-out, and once it has accepted, the old engine may take its time to end.

    Whoever listens after nobody did is a new engine; where the port cannot be looked at, the canary has to tell.
    """
    if answer.state is OrderState.PENDING:
        return case
    if not situation.engine.listener:
        return _restarted(case, situation.now)
    waited = situation.now - (answer.at or max(order.at, situation.process_started_at))
    if waited < min(ACCEPTED_FOR, timedelta(seconds=situation.policy.remediation.startup_timeout)):
        return case
    why = f"the same engine still listens {waited.total_seconds():.0f} s after the command accepted the restart"
    return _failed(case, why, situation)


def _may_help_itself(case: Case, situation: Situation) -> bool:
    """Still: the API server is gone, and what is seen of the fault (if anything is seen now) is silence."""
    finding = situation.finding(case.fault)
    return _is_gone(situation) and (finding is None or finding.silent)


def help_yourself(case: Case, situation: Situation) -> bool:
    """The one exception to asking: nothing is served here, the API server is gone, and not again so soon."""
    finding = situation.finding(case.fault)
    if finding is None or not finding.silent or not situation.faulty(case.fault):
        return False
    cooldown = timedelta(seconds=situation.policy.remediation.budget.cooldown)
    rested = situation.last_restart_at is None or situation.now - situation.last_restart_at >= cooldown
    return rested and _is_gone(situation, jitter=True)


def _is_gone(situation: Situation, *, jitter: bool = False) -> bool:
    """The API server, for long enough."""
    since = situation.api_unreachable_since
    patience = UNREACHABLE_FOR + situation.jitter if jitter else UNREACHABLE_FOR
    return since is not None and situation.now - since >= patience


def _no_longer_wanted(case: Case, situation: Situation) -> Case | None:
    if healed_since(case, case.incident.spec.detected_at, situation) is not None:
        return settle(case, situation)
    if situation.modes.held(case.fault):
        return watch_again(case)
    no_restart = situation.restart_method is RestartMethod.UNAVAILABLE or situation.restarts_spent
    if case.status.requested_step is GrantableStep.RESTART and no_restart:
        return begin_rung(case, situation)
    return None


def _granted(case: Case, step: GrantableStep, situation: Situation) -> Grant | None:
    view = situation.views.get(case.name)
    return None if view is None else view.fresh_grant(step, case.claimed_grant)


def _claim(case: Case, granted: Grant) -> Case:
    return replace(case, stage=Stage.CLAIMING, claimed_grant=granted).with_status(phase=Phase.ACTING)


def _ungranted(case: Case, situation: Situation) -> Case:
    gone_since = situation.api_unreachable_since or situation.now
    gone = (situation.now - gone_since).total_seconds()
    note = f"Restarts without a grant: nothing is served and the API server has been unreachable for {gone:.0f} s."
    noted = case.with_status(phase=Phase.ACTING, requested_step=None, message=and_then(case, note))
    return replace(noted, stage=Stage.CLAIMED, ungranted=True)


def _unclaimed(case: Case) -> Case:
    """Withdrawn before it was claimed: ask again."""
    step = case.status.requested_step or GrantableStep.RESTART
    return ask(case.drop_step() if step is GrantableStep.RESTART else case, step)


def _passed_over(case: Case, situation: Situation) -> Case:
    why = "no restart method works in this pod any more"
    judged = case.judge_step(StepOutcome.UNAVAILABLE, why, situation.now)
    return begin_rung(judged.climbed(), situation)


def _failed(case: Case, why: str, situation: Situation, outcome: StepOutcome = StepOutcome.FAILED) -> Case:
    """The rung did nothing. Whether the next one is due, the verdict says."""
    judged = case.judge_step(outcome, why, situation.now).with_status(phase=Phase.VERIFYING)
    return replace(judged, stage=Stage.VERIFYING)


def adopt(case: Case, found: Incident, situation: Situation) -> Case:
    """An incident of an earlier life, still open under this name: go on with it, and repeat no restart unproven."""
    status = replace(found.status, occurrences=found.status.occurrences + 1, grant=None, phase=Phase.OPEN)
    known = replace(case, incident=replace(case.incident, spec=found.spec, status=status), revision=case.revision + 1)
    if known.open_step is not Rung.RESTART:
        if known.open_step is not None:
            known = known.judge_step(StepOutcome.FAILED, "the journal that knew of it is lost", situation.now)
        return replace(known, stage=Stage.WATCHING, rung=0, attempt=1).with_status(requested_step=None)
    return replace(
        known.finish_step(situation.now).with_status(phase=Phase.VERIFYING, requested_step=None),
        stage=Stage.VERIFYING,
        rung=case.ladder.index(Rung.RESTART) if Rung.RESTART in case.ladder else 0,
        attempt=sum(step.step is Rung.RESTART for step in status.steps),
    )


def quarantine_along(case: Case, lead: Case, situation: Situation) -> Case:
    """Another fault of the same replica, when the replica is put into quarantine."""
    return close(case, Outcome.QUARANTINED, situation, f"Quarantined with {lead.name}.")
