"""`CrossTalk`: one stream carries another's content.

A foreign nonce is random, so one is proof. A robbed stream shows nothing foreign: it was right alone a moment before,
and lost its own words beside another, twice. A model that failed alone too is `DegradedOutput`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, FindingReason
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.detectors.proven_by_checks import finding, proven

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.findings import Finding
    from llm_watchdog.core.window import Window

KINDS: Final = (CheckKind.CROSS_TALK, CheckKind.STALE)
REASONS: Final = (FindingReason.FOREIGN_CONTENT, FindingReason.STALE_CONTENT, FindingReason.OWN_WORDS_MISSING)


def cross_talk(window: Window, _target: EngineTarget, _thresholds: DetectorsPolicy, _now: float) -> Finding | None:
    """Judge the rounds since the engine started or woke."""
    proof = proven(window, KINDS, REASONS)
    return None if proof is None else finding(FaultClass.CROSS_TALK, proof)
