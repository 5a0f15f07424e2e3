"""`StalledStream`: the engine is asked and generates nothing, whatever its health endpoint says.

Alone in a warm engine a canary needs no allowance. With users' requests in flight when the silence began, or with a
shape that was never answered, a kernel compile or a long prefill looks alike from outside: slow deadlines. While
anybody's tokens move nothing is stalled, and what waits then (`core.waiting`) restarts nothing by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.deadlines import Deadlines, deadlines
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.gaps import Run, repeated_gaps
from llm_watchdog.core.held import is_held_for_nobody
from llm_watchdog.core.signs import counted, signs
from llm_watchdog.core.silence import Silence, silence
from llm_watchdog.core.spells import FREE_CACHE
from llm_watchdog.core.waiting import waiting_beside_life

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.window import Window

CANARIES_BEFORE_RESTART: Final = 2
GAPS_FOR_SUSPICION: Final = 2
GAPS_BEFORE_RESTART: Final = 3
CERTAIN: Final = 2.0
"""So many times its deadline: a canary alone in a warm engine is that late in no healthy one."""


def stalled_stream(window: Window, target: EngineTarget, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """Judge the silence that lasts now, then streams that stop half-way, then what waits beside life."""
    policy = thresholds.stalled_stream
    quiet = silence(window, now)
    limits = None if quiet is None else deadlines(window, policy, quiet.canaries[-1].shape, quiet.others)
    silent = None if quiet is None or limits is None else _silence(window, target, quiet, limits, now)
    gaps = _repeated_gaps(window, thresholds, now)
    found = [finding for finding in (silent, gaps) if finding is not None]
    faulty = next((finding for finding in found if finding.state is VerdictState.FAULTY), None)
    return faulty or next(iter(found), None) or waiting_beside_life(window, policy, quiet, now)


def _silence(window: Window, target: EngineTarget, quiet: Silence, limits: Deadlines, now: float) -> Finding | None:
    fast = quiet.alone and quiet.warm
    restart = limits.restart if fast else limits.busy_restart
    deadline = limits.token_gap if _has_gap(quiet) else limits.first_token
    if quiet.covered >= restart and quiet.asked >= CANARIES_BEFORE_RESTART:
        state = VerdictState.FAULTY
    elif quiet.covered >= deadline and (fast or quiet.quiet >= limits.busy):
        state = VerdictState.SUSPECT
    else:
        return None
    certain = state is VerdictState.FAULTY or (fast and quiet.covered >= CERTAIN * deadline)
    if is_held_for_nobody(window, target, now):
        # Whose slots are held for nobody has another fault, which needs longer to be told.
        certain, state = False, VerdictState.SUSPECT
    reason = _reason(window, quiet)
    return Finding(
        fault=FaultClass.STALLED_STREAM,
        reason=reason,
        state=state,
        message=_message(window, quiet, reason),
        since=quiet.since,
        silent=True,
        signs=signs(window, quiet.canaries, now),
        incident=certain,
    )


def _repeated_gaps(window: Window, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """Each canary shows a token or two, so it is not silent; but none comes to its end."""
    policy = thresholds.stalled_stream
    newest = next((canary for canary in reversed(window.canaries) if canary.tokens > 0), None)
    if newest is None:
        return None
    limits = deadlines(window, policy, newest.shape, None)
    gaps = repeated_gaps(window, limits.token_gap, now)
    if gaps is None or len(gaps.canaries) < GAPS_FOR_SUSPICION:
        return None
    # Beside others a canary may be preempted for want of cache. Where there is room it is not, and not again and again.
    in_a_crowd = _lasts(gaps.all, limits.busy_restart) and _has_room(window)
    faulty = _lasts(gaps.alone, limits.restart) or _lasts(gaps.still, limits.busy_restart)
    return Finding(
        fault=FaultClass.STALLED_STREAM,
        reason=FindingReason.TOKEN_GAP,
        state=VerdictState.FAULTY if faulty else VerdictState.SUSPECT,
        message=f"{len(gaps.canaries)} canary streams in a row stopped half-way, for {gaps.all.covered:.1f} s in all",
        since=gaps.canaries[0].started_at,
        silent=gaps.still.count >= GAPS_FOR_SUSPICION and gaps.still.covered >= limits.busy,
        signs=signs(window, gaps.canaries, now),
        incident=faulty or gaps.alone.count >= GAPS_FOR_SUSPICION or in_a_crowd,
    )


def _lasts(gaps: Run, seconds: float) -> bool:
    return gaps.count >= GAPS_BEFORE_RESTART and gaps.covered >= seconds


def _has_room(window: Window) -> bool:
    """In its cache, by its own word."""
    page = next((page.reading for page in reversed(window.metrics) if page.reading is not None), None)
    return page is not None and page.kv_usage is not None and page.kv_usage < FREE_CACHE


def _has_gap(quiet: Silence) -> bool:
    return quiet.canaries[0].tokens > 0


def _reason(window: Window, quiet: Silence) -> FindingReason:
    if _has_gap(quiet):
        return FindingReason.TOKEN_GAP
    page = next((page.reading for page in reversed(window.metrics) if page.reading is not None), None)
    if page is not None and page.waiting and page.running == 0 and (page.kv_usage or 0.0) < FREE_CACHE:
        return FindingReason.ADMISSION_STALLED
    return FindingReason.NO_FIRST_TOKEN if quiet.alone else FindingReason.NO_PROGRESS


def _message(window: Window, quiet: Silence, reason: FindingReason) -> str:
    company = "alone in the engine" if quiet.alone else "with other requests in flight when the silence began"
    what = {
        FindingReason.TOKEN_GAP: f"a canary stream stopped after {quiet.canaries[0].tokens} tokens",
        FindingReason.ADMISSION_STALLED: "requests wait although nothing runs and the cache is free",
        FindingReason.NO_PROGRESS: "no byte and no counter moves for anybody",
    }.get(reason, "no first token")
    asked = f"{counted(quiet.canaries)} silent for {quiet.covered:.1f} s"
    return f"{what}: {asked}, {company}; {_health_sentence(window, quiet.since)}"


def _health_sentence(window: Window, since: float) -> str:
    newest = next((h for h in reversed(window.health) if h.at >= since), None)
    if newest is None:
        return "the health endpoint was not asked since"
    if newest.http_status is None:
        return f"even the health endpoint is {newest.kind.value.lower()}"
    return f"the health endpoint says {newest.http_status}"
