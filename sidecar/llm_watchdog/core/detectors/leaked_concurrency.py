"""`LeakedConcurrency`: slots, requests or cache blocks that count as used although nobody is served with them.

Only time without progress tells a leak from a load. A full leak (no slot is left) kills after `restart_deadline`; a
partial one, beside which canaries pass, is reported then and kills after ten times as long: vLLM itself holds the
cache of a lost transfer for 480 s (`VLLM_NIXL_ABORT_REQUEST_TIMEOUT`) in good health.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.detectors.proven_by_checks import finding, proven
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.held import Held, lasted, probes_hanging, slots_held
from llm_watchdog.core.signs import signs
from llm_watchdog.core.spells import Holds, Spell, refreshed
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.window import Window

PARTIAL_PATIENCE: Final = 10.0
"""Times the restart deadline."""
CERTAIN: Final = 2.0
"""Times the deadline: the work of a client that went away may still run on for a while."""
FRESH_SECONDS: Final = 30.0
"""Of a metrics page."""
TOO_MANY: Final = 429
FULL_MIN: Final = 2
"""A gauge that nobody pushes any more may show one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leak:
    """What is held, since when, and for how many seconds as far as the watchdog was awake."""

    reason: FindingReason
    since: float
    seconds: float
    message: str


def leaked_concurrency(window: Window, target: EngineTarget, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """Judge calls that hang for a slot, then slots, requests, the cache, and the ledger of dropped streams."""
    hanging = probes_hanging(window, now)
    slots = slots_held(window, target, now)
    return (
        (None if hanging is None else _probe_hangs(window, thresholds, hanging, now))
        or (None if slots is None else _slots(window, thresholds, slots, now))
        or _running(window, thresholds, now)
        or _cache(window, thresholds, now)
        or _not_returned(window)
    )


def _not_returned(window: Window) -> Finding | None:
    """Streams were dropped, and as many new ones do not get their slots: the round itself demands twice."""
    proof = proven(window, (CheckKind.SLOTS,), (FindingReason.SLOTS_NOT_RETURNED,))
    return None if proof is None else finding(FaultClass.LEAKED_CONCURRENCY, proof)


def _probe_hangs(window: Window, thresholds: DetectorsPolicy, hanging: Held, now: float) -> Finding | None:
    seconds = lasted(window, hanging)
    message = f"a call that takes a slot and no token hangs for {seconds:.0f} s, while other calls are answered"
    leak = _Leak(reason=FindingReason.SLOT_PROBE_HANGS, since=hanging.since, seconds=seconds, message=message)
    return _full(window, thresholds, leak, now, for_nobody=hanging.for_nobody)


def _slots(window: Window, thresholds: DetectorsPolicy, slots: Held, now: float) -> Finding | None:
    seconds = lasted(window, slots)
    for_whom = "nobody waits for an answer" if slots.for_nobody else "no byte moves for anybody"
    if slots.all_of_them:
        message = f"{slots.held} of {slots.limit} slots are held for {seconds:.0f} s and none comes free; {for_whom}"
        reason = FindingReason.SLOTS_WITHOUT_PROGRESS if slots.tells_progress else FindingReason.QUEUE_AT_LIMIT
        leak = _Leak(reason=reason, since=slots.since, seconds=seconds, message=message)
        return _full(window, thresholds, leak, now, for_nobody=slots.for_nobody)
    if not slots.for_nobody:
        return None
    message = f"{slots.held} slots are busy for {seconds:.0f} s and do not move; {for_whom}"
    if slots.leaving:
        message = f"`{slots.leaving}` for {seconds:.0f} s: something holds the model; {for_whom}"
    leak = _Leak(reason=FindingReason.SLOTS_WITHOUT_PROGRESS, since=slots.since, seconds=seconds, message=message)
    return _full(window, thresholds, leak, now) if slots.leaving else _partial(window, thresholds, leak, now)


def _running(window: Window, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """Tokens that flow are another fault (`TokensForNobody`)."""
    spell = window.spells.of(Holds.NOBODY, Holds.RUNNING)
    if spell is None or Holds.FOREIGN in window.spells.lasting or not _is_fresh(window, spell, now):
        return None
    proven = refreshed(spell, window.canaries)
    if not proven and not _turns_away(window, spell):
        return None
    seconds = window.seen_seconds(Span(spell.since, spell.until))
    message = f"up to {spell.most_running:g} requests count as running for {seconds:.0f} s; nobody waits for an answer"
    reason = FindingReason.RUNNING_WITHOUT_CLIENTS
    found = _partial(window, thresholds, _Leak(reason=reason, since=spell.since, seconds=seconds, message=message), now)
    # 429 is no ground for a restart, whatever stands beside it.
    return found if found is None or proven else replace(found, state=VerdictState.SUSPECT)


def _turns_away(window: Window, spell: Spell) -> bool:
    """It is full by its own word too: as many run as ever did, and the canaries since are answered with 429."""
    since = [canary for canary in window.canaries if canary.started_at > spell.since]
    full = spell.most_running >= max(window.spells.most_running, FULL_MIN)
    return full and bool(since) and all(canary.http_status == TOO_MANY for canary in since)


def _cache(window: Window, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    spell = window.spells.of(Holds.NOBODY, Holds.CACHE_HELD)
    page = next((page.reading for page in reversed(window.metrics) if page.reading is not None), None)
    if spell is None or page is None or not _is_fresh(window, spell, now) or not refreshed(spell, window.canaries):
        return None
    seconds = window.seen_seconds(Span(spell.since, spell.until))
    used, least = page.kv_usage or 0.0, window.spells.least_cache or 0.0
    message = f"{used:.1%} of the cache is in use for {seconds:.0f} s with nothing running, and was {least:.1%} at rest"
    reason = FindingReason.CACHE_HELD_WHILE_IDLE
    return _partial(window, thresholds, _Leak(reason=reason, since=spell.since, seconds=seconds, message=message), now)


def _is_fresh(window: Window, spell: Spell, now: float) -> bool:
    return spell.until >= window.horizon(now) - FRESH_SECONDS


def _full(
    window: Window, thresholds: DetectorsPolicy, leak: _Leak, now: float, *, for_nobody: bool = True
) -> Finding | None:
    """With clients that wait for an answer it may be their requests that take so long: slower then."""
    policy = thresholds.leaked_concurrency
    patience = 0.0 if for_nobody else thresholds.stalled_stream.busy_restart_deadline
    faulty = leak.seconds >= max(policy.restart_deadline, patience)
    certain = faulty or (for_nobody and leak.seconds >= CERTAIN * policy.deadline)
    found = _finding(window, leak, now, faulty=faulty, silent=True, incident=certain)
    return found if leak.seconds >= policy.deadline else None


def _partial(window: Window, thresholds: DetectorsPolicy, leak: _Leak, now: float) -> Finding | None:
    policy = thresholds.leaked_concurrency
    faulty = leak.seconds >= PARTIAL_PATIENCE * policy.restart_deadline
    certain = leak.seconds >= policy.restart_deadline
    found = _finding(window, leak, now, faulty=faulty, silent=False, incident=certain)
    return found if leak.seconds >= policy.deadline else None


def _finding(window: Window, leak: _Leak, now: float, *, faulty: bool, silent: bool, incident: bool) -> Finding:
    return Finding(
        fault=FaultClass.LEAKED_CONCURRENCY,
        reason=leak.reason,
        state=VerdictState.FAULTY if faulty else VerdictState.SUSPECT,
        message=leak.message,
        since=leak.since,
        silent=silent,
        signs=signs(window, window.canaries[-1:], now),
        incident=incident,
    )
