"""What looking has cost and measured, for the metrics adapter to publish."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import CanaryOutcome
from llm_watchdog.core.check_rounds import CheckKind

if TYPE_CHECKING:
    from llm_watchdog.core.canaries import CanaryObservation

FIRST_TOKEN_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds, as in a Prometheus histogram; the last bucket (+Inf) is the count of all."""


@dataclass(slots=True)
class Tally:
    """Grows while the process lives."""

    canaries: Counter[CanaryOutcome] = field(default_factory=Counter)
    tokens: int = 0
    first_token_buckets: list[int] = field(default_factory=lambda: [0] * len(FIRST_TOKEN_BUCKETS))
    """Cumulative, as Prometheus wants them."""
    first_token_count: int = 0
    first_token_sum: float = 0.0
    checks: Counter[CheckKind] = field(default_factory=Counter)
    """Rounds of active checks, conclusive or not."""
    check_tokens: int = 0
    """Generated tokens of their streams, a part of `tokens`."""
    check_prompt_tokens: int = 0
    """Of their prompts, as far as the engine tells."""
    own_errors: int = 0
    """Exceptions in the watcher's own code."""

    def count_check(self, stream: CanaryObservation) -> None:
        """Add a stream of a check that has ended."""
        self.check_tokens += stream.tokens
        self.check_prompt_tokens += stream.content.prompt_tokens or 0

    def count(self, canary: CanaryObservation) -> None:
        """Add a canary that has ended."""
        self.canaries[canary.outcome] += 1
        self.tokens += canary.tokens
        if canary.first_token_at is None:
            return
        seconds = canary.first_token_at - canary.started_at
        self.first_token_count += 1
        self.first_token_sum += seconds
        for index, bound in enumerate(FIRST_TOKEN_BUCKETS):
            self.first_token_buckets[index] += seconds <= bound
