"""What a count allows one to say about a rate. Pure."""

from __future__ import annotations

from math import ceil, exp, fsum, lgamma, log, sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE: Final = 0.95
_Z: Final = 1.959964
"""Two-sided 95 % of the normal distribution."""


def at_most(events: int, confidence: float = CONFIDENCE) -> float:
    """Upper bound of a Poisson mean of which `events` were seen, exact and one-sided. 0: 3.0, the rule of three."""
    low, high = float(events), 10.0 + 4.0 * events
    for _ in range(100):
        mean = (low + high) / 2
        low, high = (mean, high) if _poisson_cdf(events, mean) > 1 - confidence else (low, mean)
    return high


def _poisson_cdf(events: int, mean: float) -> float:
    if mean <= 0:
        return 1.0
    return fsum(exp(count * log(mean) - mean - lgamma(count + 1)) for count in range(events + 1))


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson's score)."""
    if not trials:
        return 0.0, 1.0
    share, square = hits / trials, _Z * _Z
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = _Z * sqrt(share * (1 - share) / trials + square / (4 * trials * trials)) / (1 + square / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that so many do not exceed. None of nothing."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else None
