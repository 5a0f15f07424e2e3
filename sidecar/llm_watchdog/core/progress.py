"""What counts as progress on a metrics page: any step of the engine shows in it, a hung engine freezes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_watchdog.core.observations import MetricsReading


def has_progressed(before: MetricsReading, after: MetricsReading) -> bool:
    """The engine made a step between two readings.

    Token counters stand still in a long prefill while the use of the KV cache changes; gauges are pushed by steps, not
    pulled, so that a change of any of them is a step too.
    """
    return any(
        x is not None and y is not None and (x < y or x > y)
        for x, y in (
            (before.generation_tokens, after.generation_tokens),
            (before.prompt_tokens, after.prompt_tokens),
            (before.kv_usage, after.kv_usage),
            (before.running, after.running),
            (before.waiting, after.waiting),
        )
    )


def generation_rate(before: MetricsReading, after: MetricsReading, seconds: float) -> float:
    """Tokens per second between two readings; 0 where it is not told."""
    if before.generation_tokens is None or after.generation_tokens is None or seconds <= 0:
        return 0.0
    return max(0.0, (after.generation_tokens - before.generation_tokens) / seconds)
