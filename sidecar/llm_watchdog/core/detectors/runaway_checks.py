"""`RunawayGeneration`, as far as our own streams show it: no stop where there was one, or tokens beyond the limit.

Ending at the cap is success: base models and models that reason do so when they are well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.canaries import NO_EVIDENCE_OUTCOMES, CanaryOutcome, Flaw
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.detectors.proven_by_checks import finding, proven
from llm_watchdog.core.findings import Finding
from llm_watchdog.core.signs import counted
from llm_watchdog.core.signs import signs as canary_signs

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.canaries import CanaryObservation
    from llm_watchdog.core.window import Window

BEYOND_MIN: Final = 2
BEYOND_OF: Final = 3
"""Of the newest streams."""


def runaway_in_checks(
    window: Window, _target: EngineTarget, _thresholds: DetectorsPolicy, now: float
) -> Finding | None:
    """Judge our own streams."""
    beyond = _beyond(window)
    if len(beyond) >= BEYOND_MIN:
        return Finding(
            fault=FaultClass.RUNAWAY_GENERATION,
            reason=FindingReason.BEYOND_LIMIT,
            state=VerdictState.FAULTY,
            message=(
                f"{counted(beyond)} of the newest {BEYOND_OF} went beyond the tokens asked for, the last to "
                f"{_generated(beyond[-1])} of {beyond[-1].max_tokens}"
            ),
            since=beyond[0].started_at,
            silent=False,
            signs=canary_signs(window, beyond, now),
        )
    proof = proven(window, (CheckKind.FINGERPRINT,), (FindingReason.NO_STOP,))
    return None if proof is None else finding(FaultClass.RUNAWAY_GENERATION, proof)


def _beyond(window: Window) -> list[CanaryObservation]:
    ended = [
        canary
        for canary in window.canaries
        if canary.outcome not in NO_EVIDENCE_OUTCOMES and canary.outcome is not CanaryOutcome.IN_PROGRESS
    ]
    newest = ended[-BEYOND_OF:]
    return [canary for canary in newest if canary.flaw is Flaw.BEYOND_LIMIT]


def _generated(canary: CanaryObservation) -> int:
    return max(canary.tokens, len(canary.content.token_ids), canary.content.completion_tokens or 0)
