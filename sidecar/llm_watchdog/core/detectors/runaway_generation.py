"""`RunawayGeneration`: no stop, tokens for nobody, one request that never ends while others starve.

A user's long answer alone looks like the begin of all of them, and is none. Running at the limit, a full cache or a
time to first token that grows with the load is a load, however long the queue is. Ending at the cap is success: base
models and models that reason do so when they are well; those that stopped by themselves at baseline do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.canaries import SILENT_OUTCOMES, CanaryObservation, Flaw
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.detectors.proven_by_checks import finding, proven
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.flaws import flawed_run
from llm_watchdog.core.signs import counted, signs
from llm_watchdog.core.spells import Holds, Spell
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.window import Window

WELL_BELOW: Final = 0.5
"""Of what the engine can run at once: more than half is taken for a load."""
STARVED_CANARIES: Final = 2
FRESH_SECONDS: Final = 30.0
"""Of a metrics page."""


def runaway_generation(window: Window, target: EngineTarget, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """Judge the newest canaries, then what the engine generates for others."""
    return (
        _beyond_limit(window, thresholds, now)
        or _no_stop(window)
        or _starvation(window, target, thresholds, now)
        or _for_nobody(window, thresholds, now)
    )


def _beyond_limit(window: Window, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    policy = thresholds.incomplete_stream
    run = flawed_run(window, frozenset({Flaw.BEYOND_LIMIT}))
    if len(run.canaries) < policy.failures:
        return None
    newest = run.canaries[-1]
    limit = f"{newest.max_tokens} tokens that were asked for" if newest.max_tokens else "length of any answer before"
    message = f"{counted(run.canaries)} in a row went on beyond the {limit}"
    return _finding(
        window,
        FindingReason.BEYOND_LIMIT,
        f"{message}, the last to {newest.tokens}",
        run.canaries[0].started_at,
        now,
        faulty=run.is_sustained(policy.restart_failures),
        canaries=run.canaries,
    )


def _no_stop(window: Window) -> Finding | None:
    proof = proven(window, (CheckKind.FINGERPRINT,), (FindingReason.NO_STOP,))
    return None if proof is None else finding(FaultClass.RUNAWAY_GENERATION, proof)


def _starvation(window: Window, target: EngineTarget, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    spell = window.spells.of(Holds.WAITING, Holds.MOVING, Holds.UNFINISHED, Holds.FREE)
    room = _capacity(window, target)
    if spell is None or room is None or not _is_fresh(window, spell, now):
        return None
    if spell.most_running < 1 or spell.most_running > WELL_BELOW * room or not _canaries_starve(window, spell):
        return None
    seconds = window.seen_seconds(Span(spell.since, spell.until))
    policy = thresholds.runaway_generation
    if seconds < policy.deadline:
        return None
    message = (
        f"requests wait for {seconds:.0f} s and none is finished, while {spell.most_running:g} of {room:g} run, "
        "tokens flow and the cache is free"
    )
    faulty = seconds >= policy.restart_deadline
    return _finding(window, FindingReason.STARVATION, message, spell.since, now, faulty=faulty)


def _capacity(window: Window, target: EngineTarget) -> float | None:
    """Configured, told by the engine, or the most it ever ran, which proves nothing where no cache is told of."""
    slots = [look.reading.slots for look in window.status if look.reading is not None and look.reading.slots]
    if target.concurrency or slots:
        return float(target.concurrency or slots[-1])
    tells_cache = any(page.reading is not None and page.reading.kv_usage is not None for page in window.metrics[-1:])
    return window.spells.most_running if tells_cache else None


def _canaries_starve(window: Window, spell: Spell) -> bool:
    """Ours are among those that wait: at least two since it began, and none was answered."""
    since = [canary for canary in window.canaries if canary.started_at >= spell.since]
    silent = [canary for canary in since if canary.outcome in SILENT_OUTCOMES and canary.tokens == 0]
    return len(silent) >= STARVED_CANARIES and not any(canary.tokens for canary in since)


def _for_nobody(window: Window, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    spell = window.spells.of(Holds.NOBODY, Holds.FOREIGN)
    if spell is None or not _is_fresh(window, spell, now):
        return None
    seconds = window.seen_seconds(Span(spell.since, spell.until))
    policy = thresholds.runaway_generation
    if seconds < policy.deadline:
        return None
    message = f"more tokens than those of our canaries flow for {seconds:.0f} s, and nobody waits for an answer"
    faulty = seconds >= policy.restart_deadline
    return _finding(window, FindingReason.TOKENS_FOR_NOBODY, message, spell.since, now, faulty=faulty)


def _is_fresh(window: Window, spell: Spell, now: float) -> bool:
    return spell.until >= window.horizon(now) - FRESH_SECONDS


def _finding(
    window: Window,
    reason: FindingReason,
    message: str,
    since: float,
    now: float,
    *,
    faulty: bool,
    canaries: Iterable[CanaryObservation] = (),
) -> Finding:
    return Finding(
        fault=FaultClass.RUNAWAY_GENERATION,
        reason=reason,
        state=VerdictState.FAULTY if faulty else VerdictState.SUSPECT,
        message=message,
        since=since,
        silent=False,
        signs=signs(window, canaries, now),
    )
