"""The rung that gives the replica up: the operator evicts the pod, and another one takes its place.

The watchdog ends with its pod. So the claim only reserves the step; the order is the step on record, written in a pass
that sees the fault, and the operator acts on what the API server holds of it. Whether it helped, the operator says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import Rung, StepOutcome
from llm_watchdog.core.remediation import Decision, begin_rung, fault_stands, healed_since
from llm_watchdog.core.remediation_end import settle, watch_again
from llm_watchdog.core.remediation_restart import acting, called_off, put_aside

if TYPE_CHECKING:
    from llm_watchdog.core.case import Case
    from llm_watchdog.core.situation import Situation


def replace_pod(case: Case, situation: Situation) -> Decision:
    """Put the order on record, and wait for the end, or for a reason to take it back."""
    if case.open_step is Rung.REPLACE_POD:
        return Decision(case=_await_eviction(case, situation))
    return Decision(case=_order(case, situation))


def _order(case: Case, situation: Situation) -> Case:
    if healed_since(case, case.incident.spec.detected_at, situation) is not None:
        return settle(case, situation)
    if situation.modes.held(case.fault):
        return watch_again(case)
    # Without the API server nobody would evict.
    if situation.api_unreachable_since is not None or not put_aside(situation):
        return case
    if not fault_stands(case, situation):
        return case
    return acting(case.begin_step(Rung.REPLACE_POD, situation.now), situation)


def _await_eviction(case: Case, situation: Situation) -> Case:
    """While the pod is being stopped, nothing that is seen of the engine says anything any more."""
    if situation.draining:
        return case
    undone = called_off(case, situation)
    if undone is not None:
        return undone
    limit = situation.policy.remediation.startup_timeout
    if (situation.now - case.status.steps[-1].started_at).total_seconds() < limit:
        return case
    judged = case.judge_step(StepOutcome.TIMED_OUT, f"the pod was not evicted within {limit:.0f} s", situation.now)
    return begin_rung(judged.climbed(), situation)
