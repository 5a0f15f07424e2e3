"""How slow a model is by nature, by its very first answers: known long before there is enough for learned deadlines.

A local server that needs 25 s for its first token is well (unsloth#8990, openclaw#85826), and a deadline of 5 s would
kill it over and over. The quickest of its first answers stands for it: the very first one may have compiled kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_watchdog.core.canaries import CanaryObservation

FIRST_ANSWERS: Final = 3
"""That it is taken from; later ones are not, so that an illness that creeps up does not become the norm."""
FACTOR: Final = 2.0
"""A floor of a deadline, in times of that answer."""
PATIENCE_MAX: Final = 120.0
"""Seconds that a canary waits at most while none was answered yet; each waits twice as long as the one before."""
SHAPES_MAX: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds, the least of the first answers of a shape."""

    count: int = 0
    first_token: float = 0.0
    gap: float = 0.0
    """Between two tokens, on average over an answer."""


UNKNOWN: Final = Pace()


def paced(paces: Mapping[str, Pace], canary: CanaryObservation) -> Mapping[str, Pace]:
    """With one more whole answer, while it is among the first of its shape."""
    first, last, known = canary.first_token_at, canary.last_token_at, paces.get(canary.shape, UNKNOWN)
    full = known is UNKNOWN and len(paces) >= SHAPES_MAX
    if first is None or last is None or known.count >= FIRST_ANSWERS or full:
        return paces
    wait, gap = first - canary.started_at, (last - first) / max(1, canary.tokens - 1)
    if known.count:
        wait, gap = min(wait, known.first_token), min(gap, known.gap)
    return {**paces, canary.shape: Pace(count=known.count + 1, first_token=wait, gap=gap)}


def pace(paces: Mapping[str, Pace], shape: str) -> Pace:
    """Of that shape; of the slowest one while that shape was not answered."""
    known = paces.get(shape)
    if known is not None or not paces:
        return known or UNKNOWN
    return Pace(
        first_token=max(other.first_token for other in paces.values()), gap=max(other.gap for other in paces.values())
    )
