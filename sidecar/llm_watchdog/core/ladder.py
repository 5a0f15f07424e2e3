"""Which rungs are climbed for which fault class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, Rung

if TYPE_CHECKING:
    from llm_watchdog.api.policy import LaddersPolicy

DEFAULTS: Final[dict[FaultClass, tuple[Rung, ...]]] = {
    FaultClass.STALLED_STREAM: (Rung.DRAIN, Rung.RESTART, Rung.QUARANTINE),
    FaultClass.ENGINE_DEAD: (Rung.DRAIN, Rung.RESTART, Rung.QUARANTINE),
}

PRECEDENCE: Final[tuple[FaultClass, ...]] = (FaultClass.ENGINE_DEAD, FaultClass.STALLED_STREAM)
"""Whose ladder is climbed when several faults stand at once: the more certain one first."""


def ladder(fault: FaultClass, overrides: LaddersPolicy) -> list[Rung]:
    """The user's ladder, or the default one."""
    chosen = {
        FaultClass.STALLED_STREAM: overrides.stalled_stream,
        FaultClass.ENGINE_DEAD: overrides.engine_dead,
    }[fault]
    return list(DEFAULTS[fault] if chosen is None else chosen)
