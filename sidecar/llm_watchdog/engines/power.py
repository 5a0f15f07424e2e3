"""How a kind of engine is put to sleep and woken: the calls in their order.

Nothing of anybody's may run in it from the first call to the last: some resume scheduling in the middle of a wake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from llm_watchdog.engines.dialect import Call

LEVELS: Final = (1, 2)
"""1: weights move to host memory; 2: they are dropped, and have to be loaded again in the wake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerWays:
    """By level of the sleep. Each call is made after the one before it was answered with 200."""

    sleep: Mapping[int, tuple[Call, ...]]
    wake: Mapping[int, tuple[Call, ...]]
    needs: str
    """What the engine must have been started with; told where it does not offer the calls."""
