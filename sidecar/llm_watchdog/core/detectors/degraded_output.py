"""`DegradedOutput`: what is generated is not what this model generates.

Broken numbers need no baseline. Everything else is judged against this replica's own, in two rounds of checks. Wrong on
a cache hit only: the cache is to blame. The same other answers after a restart too: somebody changed the model, which
is told and not acted on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.check_prompts import KNOWN_PREFIX
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.complaints import conclusive
from llm_watchdog.core.detectors.proven_by_checks import finding, proven, signs
from llm_watchdog.core.findings import Finding, Sign

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.check_rounds import CheckObservation
    from llm_watchdog.core.window import Window

KINDS: Final = (CheckKind.CACHE_PAIR, CheckKind.FINGERPRINT, CheckKind.CROSS_TALK)
REASONS: Final = (
    FindingReason.BROKEN_NUMBERS,
    FindingReason.REPETITION,
    FindingReason.DRIFTED,
    FindingReason.DISSENTS,
    FindingReason.WRONG_ANSWER,
    FindingReason.CACHE_CORRUPT,
)
"""The most certain first. The cache comes last: it is to blame only where nothing else is wrong."""
RISES: Final = 2
"""Pages on which the engine's count has risen: one request may be a user's own doing."""
RECENT_SECONDS: Final = 300.0
CHANGED: Final = "the same other answers before and after a restart: the model was changed; they are the baseline now"
KEPT: Final = (
    "the same answers before and after a restart, unlike those of most other replicas: look at its model files and its "
    "device; they are its baseline now"
)


def degraded_output(window: Window, _target: EngineTarget, _thresholds: DetectorsPolicy, now: float) -> Finding | None:
    """Judge the rounds since the engine started or woke."""
    proof = proven(window, KINDS, REASONS)
    if proof is None:
        return _corrupted(window, now) or _changed(window)
    blind = proof.complaint.reason is FindingReason.WRONG_ANSWER and _never_knew(window, proof.rounds)
    # A question that it never answered rightly may be a mistake of the user's: no ground for a restart.
    state = VerdictState.SUSPECT if blind else VerdictState.FAULTY
    return finding(FaultClass.DEGRADED_OUTPUT, proof, state=state)


def _never_knew(window: Window, rounds: tuple[CheckObservation, ...]) -> bool:
    asked = [answer for answer in rounds[-1].answers if answer.prompt.startswith(KNOWN_PREFIX) and not answer.right]
    return bool(asked) and not any(a.prompt.removeprefix(KNOWN_PREFIX) in window.baseline.knew for a in asked)


def _corrupted(window: Window, now: float) -> Finding | None:
    """The engine's own count of requests with NaN. Whether it is to be restarted, the checks say."""
    counted = [(page.at, page.reading.corrupted) for page in window.metrics if page.reading is not None]
    pages = [(at, count) for at, count in counted if count is not None and at > now - RECENT_SECONDS]
    rises = [later for (_, before), later in pairwise(pages) if later[1] > before]
    if len(rises) < RISES:
        return None
    return Finding(
        fault=FaultClass.DEGRADED_OUTPUT,
        reason=FindingReason.BROKEN_NUMBERS,
        state=VerdictState.SUSPECT,
        message=f"the engine counts {rises[-1][1] - pages[0][1]:g} more requests with NaN among their numbers",
        since=rises[0][0],
        silent=False,
        signs=tuple(Sign(at=at, kind="Metrics", message=f"{count:g} requests with NaN so far") for at, count in rises),
    )


def _changed(window: Window) -> Finding | None:
    rounds = conclusive(window.checks, CheckKind.FINGERPRINT)
    if not window.baseline.changed or not rounds:
        return None
    return Finding(
        fault=FaultClass.DEGRADED_OUTPUT,
        reason=FindingReason.BASELINE_CHANGED,
        state=VerdictState.SUSPECT,
        message=KEPT if window.baseline.kept else CHANGED,
        since=rounds[0].started_at,
        silent=False,
        signs=signs(rounds[-1]),
        incident=False,
    )
