"""Which rungs are climbed for which fault class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import FaultClass, Rung

if TYPE_CHECKING:
    from llm_watchdog.api.policy import LaddersPolicy

RESTART: Final = (Rung.DRAIN, Rung.RESTART, Rung.REPLACE_POD, Rung.QUARANTINE)
"""What cures most of them."""

DEFAULTS: Final[dict[FaultClass, tuple[Rung, ...]]] = {
    **dict.fromkeys(FaultClass, RESTART),
    FaultClass.LEAKED_CONCURRENCY: (Rung.ABORT_REQUEST, *RESTART),
    FaultClass.RUNAWAY_GENERATION: (Rung.ABORT_REQUEST, *RESTART),
    FaultClass.DEGRADED_OUTPUT: (Rung.FLUSH_CACHE, *RESTART),
    FaultClass.CROSS_TALK: (Rung.QUARANTINE,),  # a confidentiality alarm: a person has to look at it
}

PRECEDENCE: Final[tuple[FaultClass, ...]] = tuple(FaultClass)
"""Whose ladder is climbed when several faults stand at once: the more certain one first, the order of the enum."""


def ladder(fault: FaultClass, overrides: LaddersPolicy) -> list[Rung]:
    """The user's ladder, or the default one."""
    chosen = overrides.of(fault)
    return list(DEFAULTS[fault] if chosen is None else chosen)
