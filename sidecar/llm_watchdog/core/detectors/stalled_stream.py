"""`StalledStream`: the engine is asked and generates nothing, whatever its health endpoint says.

Alone in a warm engine a canary needs no allowance. With users' requests in flight when the silence began, or with a
shape that was never answered, a kernel compile or a long prefill looks alike from outside: slow deadlines. While
anybody's tokens move nothing is stalled; a canary that queues for too long then is worth a suspicion at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.gaps import repeated_gaps
from llm_watchdog.core.signs import counted, signs
from llm_watchdog.core.silence import Silence, silence

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy, StalledStreamPolicy
    from llm_watchdog.core.window import Window

CANARIES_BEFORE_RESTART: Final = 2
QUEUED_CANARIES: Final = 3
GAPS_FOR_SUSPICION: Final = 2
GAPS_BEFORE_RESTART: Final = 3
FREE_CACHE: Final = 0.9


def stalled_stream(window: Window, _target: EngineTarget, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """Judge the silence that lasts now."""
    policy = thresholds.stalled_stream
    found = (_silence(window, policy, now), _repeated_gaps(window, policy, now))
    faulty = (finding for finding in found if finding is not None and finding.state is VerdictState.FAULTY)
    return next(faulty, found[0] or found[1])


def _silence(window: Window, policy: StalledStreamPolicy, now: float) -> Finding | None:
    quiet = silence(window, now)
    if quiet is None:
        return None
    state = _state(quiet, policy)
    if state is not None:
        return _finding(window, quiet, state, now, silent=True)
    if quiet.waited >= policy.busy_restart_deadline and len(quiet.canaries) >= QUEUED_CANARIES:
        return _finding(window, quiet, VerdictState.SUSPECT, now, silent=False)
    return None


def _repeated_gaps(window: Window, policy: StalledStreamPolicy, now: float) -> Finding | None:
    """Each canary shows a token or two, so it is not silent; but none comes to its end."""
    gaps = repeated_gaps(window, policy.token_gap_deadline, now)
    if gaps is None or len(gaps.canaries) < GAPS_FOR_SUSPICION:
        return None
    sustained = gaps.covered >= policy.restart_deadline and len(gaps.canaries) >= GAPS_BEFORE_RESTART
    return Finding(
        fault=FaultClass.STALLED_STREAM,
        reason=FindingReason.TOKEN_GAP,
        state=VerdictState.FAULTY if gaps.alone and sustained else VerdictState.SUSPECT,
        message=f"{len(gaps.canaries)} canary streams in a row stopped half-way, for {gaps.covered:.1f} s in all",
        since=gaps.canaries[0].started_at,
        silent=False,
        signs=signs(window, gaps.canaries, now),
    )


def _state(quiet: Silence, policy: StalledStreamPolicy) -> VerdictState | None:
    fast = quiet.alone and quiet.warm
    restart = policy.restart_deadline if fast else policy.busy_restart_deadline
    if quiet.covered >= restart and quiet.asked >= CANARIES_BEFORE_RESTART:
        return VerdictState.FAULTY
    deadline = policy.token_gap_deadline if _has_gap(quiet) else policy.first_token_deadline
    if quiet.covered >= deadline and (fast or quiet.quiet >= policy.busy_deadline):
        return VerdictState.SUSPECT
    return None


def _has_gap(quiet: Silence) -> bool:
    return quiet.canaries[0].tokens > 0


def _finding(window: Window, quiet: Silence, state: VerdictState, now: float, *, silent: bool) -> Finding:
    reason = _reason(window, quiet) if silent else FindingReason.NO_FIRST_TOKEN
    return Finding(
        fault=FaultClass.STALLED_STREAM,
        reason=reason,
        state=state,
        message=_message(window, quiet, reason, silent=silent),
        since=quiet.since if silent else quiet.canaries[0].started_at,
        silent=silent,
        signs=signs(window, quiet.canaries, now),
    )


def _reason(window: Window, quiet: Silence) -> FindingReason:
    if _has_gap(quiet):
        return FindingReason.TOKEN_GAP
    page = next((page.reading for page in reversed(window.metrics) if page.reading is not None), None)
    if page is not None and page.waiting and page.running == 0 and (page.kv_usage or 0.0) < FREE_CACHE:
        return FindingReason.ADMISSION_STALLED
    return FindingReason.NO_FIRST_TOKEN if quiet.alone else FindingReason.NO_PROGRESS


def _message(window: Window, quiet: Silence, reason: FindingReason, *, silent: bool) -> str:
    asked = counted(quiet.canaries)
    if not silent:
        return f"{asked} waited {quiet.waited:.1f} s without a first token while other streams move"
    company = "alone in the engine" if quiet.alone else "with other requests in flight when the silence began"
    what = {
        FindingReason.TOKEN_GAP: f"a canary stream stopped after {quiet.canaries[0].tokens} tokens",
        FindingReason.ADMISSION_STALLED: "requests wait although nothing runs and the cache is free",
        FindingReason.NO_PROGRESS: "no byte and no counter moves for anybody",
    }.get(reason, "no first token")
    return f"{what}: {asked} silent for {quiet.covered:.1f} s, {company}; {_health_sentence(window, quiet.since)}"


def _health_sentence(window: Window, since: float) -> str:
    newest = next((h for h in reversed(window.health) if h.at >= since), None)
    if newest is None:
        return "the health endpoint was not asked since"
    if newest.http_status is None:
        return f"even the health endpoint is {newest.kind.value.lower()}"
    return f"the health endpoint says {newest.http_status}"
