"""How a kind of engine is put to sleep and woken: the calls in their order.

Nothing of anybody's may run in it from the first call to the last: some resume scheduling in the middle of a wake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from llm_watchdog.engines.dialect import Call
from llm_watchdog.engines.forbidden import Fact

LEVELS: Final = (1, 2)
"""1: weights move to host memory; 2: they are dropped, and have to be loaded again in the wake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerWays:
    """By level of the sleep. Each call is made after the one before it was answered with 200."""

    sleep: Mapping[int, tuple[Call, ...]]
    """The last call is the one that puts it to sleep."""
    wake: Mapping[int, tuple[Call, ...]]
    needs: str
    """What the engine must have been started with; told where it does not offer the calls."""
    proves: Mapping[str, Fact] = field(default_factory=dict)
    """What is known once the call of this path was answered with 200."""
    stays_awake: tuple[Call, ...] = ()
    """Takes back what came before the last call, where that was not made or was turned down."""
