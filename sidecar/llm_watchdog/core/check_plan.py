"""Which active check is due now, and which of them a replica still waits for before it may first enter rotation.

Due: before that, after each wake, flush and restart (the window begins without rounds then), and every
`checks.interval` while the engine is alone. A check that cannot be made never holds rotation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import EngineTarget, EngineTask
from llm_watchdog.api.thresholds import ChecksPolicy, Switch
from llm_watchdog.core.alone import Company, company
from llm_watchdog.core.baseline import RUNS
from llm_watchdog.core.canaries import NO_EVIDENCE_OUTCOMES, CanaryOutcome, Flaw
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.complaints import conclusive
from llm_watchdog.core.residence import may_not_be_asked, why_no_canary

if TYPE_CHECKING:
    from llm_watchdog.core.window import Window

ORDER: Final = (CheckKind.CACHE_PAIR, CheckKind.FINGERPRINT, CheckKind.CROSS_TALK, CheckKind.STALE, CheckKind.SLOTS)
"""The cache first: after a wake its prompt must date from before the sleep, and nothing may have displaced it."""
GATE_SECONDS: Final = 120.0
"""From the first answer, or a flush: for so long may checks hold a replica out of rotation, whatever keeps them."""
RETRY_SECONDS: Final = 5.0
"""After a round that was disturbed."""
NOT_APPLICABLE_FACTOR: Final = 10
"""Intervals until something that could not be made is tried again."""

_BESIDE: Final = (CheckKind.FINGERPRINT, CheckKind.CROSS_TALK)
"""Drop nothing and need no quiet: a replica that is never alone would never be looked at otherwise."""
BESIDE_FACTOR: Final = 5
"""Intervals between two such rounds beside others: their tokens are to be a small part of the engine's."""

_MIXED: Final = frozenset({CheckKind.CROSS_TALK, CheckKind.STALE})
_ONCE: Final = frozenset({CheckKind.STALE, CheckKind.SLOTS})
"""They drop streams, and aborts have caused leaks (vllm#51921): once for each start, out of rotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What may be checked here: the user's wish, and what the dialect and this engine allow."""

    target: EngineTarget
    policy: ChecksPolicy = field(default_factory=ChecksPolicy)
    cold: bool = True
    """The prefix cache can be bypassed for one request."""
    pair_is_safe: bool = True
    slots: int | None = None
    in_rotation: bool = True
    """As far as is known, so that nothing is dropped beside users by mistake."""


def impossible(kind: CheckKind, setting: Setting) -> str:
    """Why this check is not made in this setting at all; empty: it is."""
    switch = _switch(kind, setting.policy)
    unsafe = not setting.pair_is_safe and switch is Switch.AUTO and kind is CheckKind.CROSS_TALK
    # Where streams are known to be mixed up, some tokens before it serves are worth it.
    worth_it = not setting.pair_is_safe and not setting.in_rotation and kind in _MIXED
    reasons = {
        f"task {setting.target.task.value} allows no generation": setting.target.task is not EngineTask.GENERATE,
        "each token is billed": setting.target.metered and not worth_it,
        "switched off": switch is Switch.OFF,
        "the prefix cache cannot be bypassed for one request": kind is CheckKind.CACHE_PAIR and not setting.cold,
        "the number of slots is not known: set spec.engine.concurrency": kind is CheckKind.SLOTS and not setting.slots,
        "it drops streams, so it is made out of rotation only": setting.in_rotation and kind in _ONCE,
        "beside this engine it could take words of users' streams, so it is made out of rotation only": (
            setting.in_rotation and unsafe
        ),
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def due(window: Window, setting: Setting, now: float) -> CheckKind | None:
    """The check to be made now, given that no canary is outstanding."""
    if not _may_ask(window):
        return None
    is_due = _is_due_beside if is_beside(window, setting, now) else _is_due
    # In this order: what is not due is the rule, and sooner told.
    return next((kind for kind in ORDER if is_due(kind, window, setting, now) and not impossible(kind, setting)), None)


def is_beside(window: Window, setting: Setting, now: float) -> bool:
    """Would a round be made beside others, as far as is known?"""
    return company(window, setting.policy.alone_for, now) is not Company.ALONE


def unchecked(window: Window, setting: Setting, now: float) -> str:
    """What a replica that answers still waits for before it may be taken for proven; empty: nothing."""
    began = [at for at in (window.answered_at, window.rechecked_at) if at is not None]
    if not window.answered or not began or now - max(began) > GATE_SECONDS:
        return ""
    beside = company(window, setting.policy.alone_for, now) in (Company.SERVED, Company.UNREADABLE)
    if beside and window.woke_at is None:
        return ""
    open_kinds = [
        kind
        for kind in ORDER
        if not impossible(kind, setting)
        and not _is_settled(kind, window)
        and (not beside or may_be_beside(kind, window, setting))
    ]
    return f"start-up checks to be made: {', '.join(open_kinds)}" if open_kinds else ""


def describe(window: Window, setting: Setting, now: float) -> dict[str, str]:
    """Per kind: why it is not made here, or how its newest round ended. For people."""
    return {kind.value: impossible(kind, setting) or _newest(kind, window, now) for kind in ORDER}


def _newest(kind: CheckKind, window: Window, now: float) -> str:
    newest = next((check for check in reversed(window.checks) if check.kind is kind), None)
    if newest is None:
        return "not made since the engine started, woke or lost its cache"
    ago = f"{now - newest.at:.0f} s ago"
    if newest.not_applicable:
        return f"could not be made {ago}: {newest.not_applicable}"
    if newest.disturbed:
        return f"disturbed {ago}"
    found = [proof.complaint for proof in window.judged.proofs if proof.kind is kind]
    found += [complaint for doubted, complaint in window.judged.doubts if doubted is kind]
    return f"made {ago}: {'; '.join(complaint.message for complaint in found) or 'nothing found'}"


def _may_ask(window: Window) -> bool:
    if not window.answered or may_not_be_asked(window) or why_no_canary(window):
        return False
    newest = next((c for c in reversed(window.canaries) if c.outcome not in NO_EVIDENCE_OUTCOMES), None)
    # Broken numbers in a canary that came to its end are what the checks are there to judge.
    return newest is not None and (newest.outcome is CanaryOutcome.SUCCEEDED or newest.flaw is Flaw.BROKEN_NUMBERS)


def _is_due(kind: CheckKind, window: Window, setting: Setting, now: float) -> bool:
    rounds = [check for check in window.checks if check.kind is kind]
    if not rounds:
        return True
    newest, interval = rounds[-1], setting.policy.interval
    if newest.disturbed:
        return now >= newest.at + RETRY_SECONDS
    if newest.not_applicable:
        return interval > 0 and now >= newest.at + NOT_APPLICABLE_FACTOR * interval
    if not _is_settled(kind, window):
        return True
    return kind not in _ONCE and interval > 0 and now >= newest.at + interval


def may_be_beside(kind: CheckKind, window: Window, setting: Setting) -> bool:
    """Harms nobody, and is judged against what was learned alone: goes on when somebody else comes."""
    harmless = setting.pair_is_safe or kind not in _MIXED
    return kind in _BESIDE and harmless and not _is_unlearned(kind, window)


def _is_due_beside(kind: CheckKind, window: Window, setting: Setting, now: float) -> bool:
    """Once the baseline is known from rounds alone, and at the pace of a glance. A doubt is confirmed at once."""
    if not setting.policy.interval or not may_be_beside(kind, window, setting):
        return False
    made = [check.at for check in window.checks if check.kind is kind and not check.disturbed]
    if window.woke_at is not None and not made:
        return True  # what a wake may have broken is looked at before anybody is sent here
    doubted = any(doubt is kind for doubt, _ in window.judged.doubts)
    patience = RETRY_SECONDS if doubted else BESIDE_FACTOR * setting.policy.interval
    since = max(made, default=window.answered_at)
    return since is not None and now >= since + patience


def _is_settled(kind: CheckKind, window: Window) -> bool:
    """It was made, the baseline is learned, and no doubt waits for its confirmation; or it cannot be made."""
    newest = next((check for check in reversed(window.checks) if check.kind is kind), None)
    if newest is None or newest.disturbed:
        return False
    if newest.not_applicable:
        return True
    if _is_unlearned(kind, window) and len(conclusive(window.checks, kind)) < RUNS[kind]:
        return False
    return all(doubted is not kind for doubted, _ in window.judged.doubts)


def _is_unlearned(kind: CheckKind, window: Window) -> bool:
    match kind:
        case CheckKind.FINGERPRINT:
            return not window.baseline.prompts
        case CheckKind.CACHE_PAIR:
            return window.baseline.cached is None
        case CheckKind.CROSS_TALK:
            return window.baseline.echoes is None
        case _:
            return False


def _switch(kind: CheckKind, policy: ChecksPolicy) -> Switch:
    return {
        CheckKind.FINGERPRINT: policy.fingerprint,
        CheckKind.CACHE_PAIR: policy.cache,
        CheckKind.CROSS_TALK: policy.cross_talk,
        CheckKind.STALE: policy.cross_talk,
        CheckKind.SLOTS: policy.slots,
    }[kind]
