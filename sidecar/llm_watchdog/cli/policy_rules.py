"""What the CRD's validation rules say beyond the types of single fields, for a policy that no API server has seen."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.document import camel
from llm_watchdog.api.policy import ATTEMPTS_MAX, PAUSE_REASON_MAX, BrakeState, RollbackChoice
from llm_watchdog.api.reasons import Rung

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_watchdog.api.policy import AttemptsPolicy, LaddersPolicy, RemediationPolicy, WatchdogPolicy
    from llm_watchdog.api.thresholds import DetectorsPolicy

RUNGS_MAX: Final = 8
TOKENS_MAX: Final = 128
"""Of a canary."""
ALIKE_MIN: Final = 2
"""Replicas that can have something in common."""

_LATER: Final = (
    ("deadline", "restart_deadline"),
    ("first_token_deadline", "restart_deadline"),
    ("busy_deadline", "busy_restart_deadline"),
)
"""A replica leaves rotation before it is restarted."""


def broken_rules(policy: WatchdogPolicy) -> list[str]:
    """One sentence for each, with the field's path."""
    remediation = policy.remediation
    return [
        *_paused(policy),
        *_canary(policy),
        *_deadlines(policy.detectors),
        *_timeouts(remediation),
        *_attempts(remediation.attempts),
        *_fleet(remediation),
        *_ladders(remediation.ladders),
    ]


def _paused(policy: WatchdogPolicy) -> Iterator[str]:
    reason = "x" if policy.paused is None else policy.paused.reason
    if not reason.strip() or len(reason) > PAUSE_REASON_MAX:
        yield f"paused.reason: say in 1 to {PAUSE_REASON_MAX} characters why nothing is to be done"


def _canary(policy: WatchdogPolicy) -> Iterator[str]:
    canary = policy.canary
    if not 0 < canary.max_tokens <= TOKENS_MAX:
        yield f"canary.maxTokens: {canary.max_tokens} is not within 1 and {TOKENS_MAX}"
    for name, seconds in (("interval", canary.interval), ("timeout", canary.timeout)):
        if not seconds:
            yield f"canary.{name}: must be longer than 0s"


def _deadlines(detectors: DetectorsPolicy) -> Iterator[str]:
    for field in fields(detectors):
        detector = getattr(detectors, field.name)
        for leaves, restarts in _LATER:
            if not (hasattr(detector, leaves) and hasattr(detector, restarts)):
                continue
            first, second = getattr(detector, leaves), getattr(detector, restarts)
            if second < first:
                path = f"detectors.{camel(field.name)}.{camel(restarts)}"
                yield f"{path}: {second} is below {camel(leaves)}, {first}: rotation is left before a restart"


def _timeouts(remediation: RemediationPolicy) -> Iterator[str]:
    for name in ("abort_timeout", "flush_timeout", "startup_timeout"):
        seconds = getattr(remediation, name)
        if seconds < 1:
            yield f"remediation.{camel(name)}: {seconds} is below 1s"


def _attempts(attempts: AttemptsPolicy) -> Iterator[str]:
    for field in fields(attempts):
        number = getattr(attempts, field.name)
        if not 0 < number <= ATTEMPTS_MAX:
            yield f"remediation.attempts.{camel(field.name)}: {number} is not within 1 and {ATTEMPTS_MAX}"


def _fleet(remediation: RemediationPolicy) -> Iterator[str]:
    """What the operator alone goes by, so that a file that is taken here is taken there."""
    budget, brake = remediation.budget, remediation.brake
    if remediation.max_detached < 1:
        yield f"remediation.maxDetached: {remediation.max_detached} is below 1: quarantine Hold detaches none"
    if budget.max_per_replica < 1:
        yield f"remediation.budget.maxPerReplica: {budget.max_per_replica} is below 1"
    elif remediation.attempts.restart > budget.max_per_replica:
        yield (
            f"remediation.attempts.restart: {remediation.attempts.restart} is above budget.maxPerReplica,"
            f" {budget.max_per_replica}"
        )
    if brake.share in {"0", "0%"}:
        yield f"remediation.brake.share: {brake.share} would be every fault: set state to Disabled for no brake"
    if brake.min_replicas < ALIKE_MIN:
        yield f"remediation.brake.minReplicas: {brake.min_replicas} is below {ALIKE_MIN}"
    if brake.window < 1:
        yield "remediation.brake.window: must be at least 1s"
    blames = brake.state is BrakeState.ENABLED and brake.after_rollout > 0
    if brake.rollback is RollbackChoice.AUTOMATIC and not blames:
        yield "remediation.brake.rollback: Automatic takes a brake that blames rollouts: state Enabled, afterRollout"


def _ladders(ladders: LaddersPolicy) -> Iterator[str]:
    for field in fields(ladders):
        rungs, path = getattr(ladders, field.name), f"remediation.ladders.{camel(field.name)}"
        if rungs is not None:
            yield from (f"{path}: {what}" for what in _ladder(rungs))


def _ladder(rungs: list[Rung]) -> Iterator[str]:
    if not 0 < len(rungs) <= RUNGS_MAX:
        yield f"{len(rungs)} steps, not 1 to {RUNGS_MAX}"
    if len(set(rungs)) < len(rungs):
        yield "a step that did not help is not repeated: name each step once"
    if Rung.ABORT_REQUEST in rungs[1:]:
        yield "nothing is milder than to abort the watchdog's own requests: put AbortRequest first"
    if Rung.QUARANTINE in rungs[:-1]:
        yield "nothing comes after a person was called: put Quarantine last"
    if Rung.REPLACE_POD in rungs and set(rungs[rungs.index(Rung.REPLACE_POD) :]) - {Rung.REPLACE_POD, Rung.QUARANTINE}:
        yield "only Quarantine comes after a pod was replaced: put ReplacePod behind the others"
    if {Rung.DRAIN, Rung.RESTART} <= set(rungs) and rungs.index(Rung.DRAIN) > rungs.index(Rung.RESTART):
        yield "a restart cuts requests in flight: put Drain before Restart"
    if {Rung.FLUSH_CACHE, Rung.RESTART} <= set(rungs) and rungs.index(Rung.FLUSH_CACHE) > rungs.index(Rung.RESTART):
        yield "a restart empties the cache too: put FlushCache before Restart"
