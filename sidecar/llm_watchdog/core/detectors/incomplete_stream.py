"""`IncompleteStream`: canaries that begin and do not end as the engine's protocol says, several in a row.

What counts as an end differs by engine and was judged when the stream was read (`Flaw`). An answer that ends as if it
were whole, after a fraction of what was asked for and of what this prompt gave before, is counted k of n.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Flaw
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.flaws import SETTLED_SECONDS, SUSTAINED_SECONDS, Run, flaw_of, flawed_run, is_relayed
from llm_watchdog.core.habits import LENGTH_SAMPLES
from llm_watchdog.core.signs import counted, signs
from llm_watchdog.core.window import Span

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy, IncompleteStreamPolicy
    from llm_watchdog.core.habits import Length
    from llm_watchdog.core.window import Window

FLAWS: Final = frozenset(
    {
        Flaw.NO_FINISH_REASON,
        Flaw.NO_TERMINATOR,
        Flaw.BODY_CUT,
        Flaw.EMPTY_ANSWER,
        Flaw.ERROR_IN_STREAM,
        Flaw.USAGE_MISMATCH,
    }
)
CAPPED: Final = "length"
"""The finish reason of an answer that was as long as allowed, however it is counted."""
FAR_FEWER: Final = 0.5


def incomplete_stream(window: Window, _target: EngineTarget, thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """Judge the newest canaries."""
    policy = thresholds.incomplete_stream
    return _flawed(window, policy, now) or _cut(window, policy, now)


def _flawed(window: Window, policy: IncompleteStreamPolicy, now: float) -> Finding | None:
    run = flawed_run(window, FLAWS)
    newest = run.canaries[-1] if run.canaries else None
    flaw = None if newest is None else flaw_of(newest)
    if newest is None or flaw is None or len(run.canaries) < policy.failures:
        return None
    detail = f": {newest.detail}" if newest.detail else ""
    message = (
        f"{counted(run.canaries)} in a row ended wrong over {run.seconds:.1f} s, the last with {flaw.value}{detail}"
    )
    own = [canary for canary in run.canaries if not is_relayed(canary)]
    if not own:
        message += "; the server behind it broke off, which no restart of this one cures"
    faulty = len(own) >= policy.restart_failures and run.is_sustained(policy.restart_failures)
    return _finding(window, FindingReason(flaw.value), message, run, now, faulty=faulty)


def _cut(window: Window, policy: IncompleteStreamPolicy, now: float) -> Finding | None:
    passed = (canary for canary in reversed(window.canaries) if canary.outcome is CanaryOutcome.SUCCEEDED)
    last = next(passed, None)
    usual = None if last is None else window.lengths.get(last.shape)
    if last is None or usual is None or usual.count < LENGTH_SAMPLES:
        return None
    alike = (canary for canary in passed if canary.shape == last.shape)
    newest = [last, *islice(alike, 2 * policy.restart_failures - 1)][::-1]
    cut = tuple(canary for canary in newest if _is_cut(canary, usual))
    if len(cut) < policy.failures:
        return None
    span = Span(cut[0].started_at, cut[-1].finished_at or cut[-1].started_at)
    run = Run(canaries=cut, seconds=window.seen_seconds(span))
    message = (
        f"{len(cut)} of the newest {len(newest)} canaries ended as if complete after {cut[-1].tokens} tokens; "
        f"{cut[-1].max_tokens} were asked for and at least {usual.tokens} came before"
    )
    faulty = len(cut) >= policy.restart_failures and run.seconds >= SUSTAINED_SECONDS
    return _finding(window, FindingReason.ANSWER_CUT, message, run, now, faulty=faulty)


def _is_cut(canary: CanaryObservation, usual: Length) -> bool:
    """By tokens and by characters: several tokens may come in one chunk, and be counted as one.

    TGI counts the end mark too: of four tokens, two are what was cut after the first.
    """
    if canary.finish == CAPPED:
        return False
    tokens = canary.content.completion_tokens or canary.tokens
    fewer = tokens <= FAR_FEWER * min(usual.tokens, canary.max_tokens)
    shorter = len(canary.content.text) < FAR_FEWER * usual.characters
    return fewer and (shorter or usual.characters == 0)


def _finding(window: Window, reason: FindingReason, message: str, run: Run, now: float, *, faulty: bool) -> Finding:
    begin, life = run.canaries[0].started_at, window.last_life_at
    nothing = all(canary.tokens == 0 for canary in run.canaries) and (life is None or life <= begin)
    return Finding(
        fault=FaultClass.INCOMPLETE_STREAM,
        reason=reason,
        state=VerdictState.FAULTY if faulty else VerdictState.SUSPECT,
        message=message,
        since=begin,
        silent=nothing,
        signs=signs(window, run.canaries, now),
        incident=_settled_seconds(window, run, now) >= SETTLED_SECONDS,
    )


def _settled_seconds(window: Window, run: Run, now: float) -> float:
    """Since the first of them failed; how long it had waited before that says nothing."""
    first = run.canaries[0]
    failed_at = first.started_at if first.finished_at is None else first.finished_at
    return window.seen_seconds(Span(failed_at, window.horizon(now)))
