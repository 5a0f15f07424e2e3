"""`LeakedConcurrency`, by the slot ledger: streams were dropped, and as many new ones do not get their slots.

Made out of rotation, once for each start of the engine; the round itself demands twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import FaultClass, FindingReason
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.detectors.proven_by_checks import finding, proven

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.findings import Finding
    from llm_watchdog.core.window import Window


def slots_not_returned(
    window: Window, _target: EngineTarget, _thresholds: DetectorsPolicy, _now: float
) -> Finding | None:
    """Judge the newest ledger."""
    proof = proven(window, (CheckKind.SLOTS,), (FindingReason.SLOTS_NOT_RETURNED,))
    return None if proof is None else finding(FaultClass.LEAKED_CONCURRENCY, proof)
