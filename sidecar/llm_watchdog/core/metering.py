"""A metered engine: somebody is billed for each token. Passive first, a canary on suspicion only, and a daily cap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import NO_EVIDENCE_OUTCOMES, CanaryObservation, CanaryOutcome
from llm_watchdog.core.observations import AnswerKind

if TYPE_CHECKING:
    from llm_watchdog.api.policy import WatchdogPolicy
    from llm_watchdog.core.observations import HealthObservation, StatusObservation
    from llm_watchdog.core.window import Window

PROMPT_TOKENS: Final = 64
"""Assumed where the usage does not tell: a canary's prompt with a chat template around it."""
BURST: Final = 12
"""Unanswered questions in a row, after which they become rare: enough for every detector's deadlines by default."""
PAUSE_SECONDS: Final = 60.0
"""Between them from then on."""
RETRY_SECONDS: Final = 2.0
"""After one that failed at once."""
SERVER_ERROR: Final = 500

_NEVER_BILLED: Final = NO_EVIDENCE_OUTCOMES - {CanaryOutcome.WITHDRAWN} | {
    CanaryOutcome.REFUSED,
    CanaryOutcome.REJECTED,
    CanaryOutcome.SERVER_ERROR,
}
_FAILED: Final = frozenset({AnswerKind.SILENT, AnswerKind.CUT, AnswerKind.UNREADABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What canaries have cost on one UTC day. Errs on the high side."""

    day: str = ""
    """ISO 8601."""
    tokens: int = 0

    def on(self, day: str) -> Meter:
        """On that day; a clock that was set back gives nothing away twice."""
        return self if day <= self.day else Meter(day=day)

    def add(self, canary: CanaryObservation, day: str) -> Meter:
        """With a canary that has ended."""
        today = self.on(day)
        return replace(today, tokens=today.tokens + cost(canary))

    def allows(self, policy: WatchdogPolicy, tokens: int) -> bool:
        """So many more, at most."""
        return self.tokens + tokens <= policy.checks.tokens_per_day


def cost(canary: CanaryObservation) -> int:
    """Tokens that were billed, as told or at most. A stream that was given up may be generated to its limit."""
    if canary.outcome in _NEVER_BILLED or (canary.outcome is CanaryOutcome.ERROR_IN_STREAM and not canary.tokens):
        return 0
    told = canary.content
    generated = max(canary.tokens, told.completion_tokens or 0)
    if canary.outcome is not CanaryOutcome.SUCCEEDED:
        generated = max(generated, canary.max_tokens)
    return generated + (PROMPT_TOKENS if told.prompt_tokens is None else told.prompt_tokens)


def is_spent(window: Window, policy: WatchdogPolicy) -> bool:
    """Not even one more canary."""
    return not window.meter.allows(policy, PROMPT_TOKENS + policy.canary.max_tokens)


def may_ask(window: Window, policy: WatchdogPolicy, now: float) -> bool:
    """A canary is affordable, and something is to be found out: is it up at all, or is there reason for suspicion?"""
    return not is_spent(window, policy) and (not window.answered or _is_suspicious(window, policy, now))


def earliest(window: Window) -> float:
    """When the next canary may start, if the ones before it failed."""
    newest = window.canaries[-1]
    failed = 0
    for canary in reversed(window.canaries):
        if canary.outcome is CanaryOutcome.SUCCEEDED:
            break
        failed += 1
    if not failed:
        return newest.started_at
    return newest.started_at + (PAUSE_SECONDS if failed >= BURST else RETRY_SECONDS)


def _is_suspicious(window: Window, policy: WatchdogPolicy, now: float) -> bool:
    """The last canary left a question open, passive looks fail, or somebody was served and nothing moves."""
    if not window.canaries:
        return True
    newest = window.canaries[-1]
    if newest.outcome is not CanaryOutcome.SUCCEEDED:
        return True
    looks: tuple[HealthObservation | StatusObservation, ...] = (*window.health[-1:], *window.status[-1:])
    if any(_has_failed(look) for look in looks):
        return now - newest.started_at >= policy.canary.busy_interval
    served_at = max((t.at for t in window.traffic if t.outstanding), default=newest.started_at)
    life = newest.started_at if window.last_life_at is None else window.last_life_at
    return served_at > newest.started_at and now - life >= policy.detectors.stalled_stream.busy_deadline


def _has_failed(look: HealthObservation | StatusObservation) -> bool:
    return look.kind in _FAILED or (look.http_status or 0) >= SERVER_ERROR
