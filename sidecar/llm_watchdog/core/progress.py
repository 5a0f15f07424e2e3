"""What counts as progress on a metrics page: any step of the engine shows in it, a hung engine freezes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_watchdog.core.canaries import CanaryObservation
    from llm_watchdog.core.check_rounds import CheckObservation
    from llm_watchdog.core.observations import MetricsObservation, MetricsReading

PROMPT_STEPS: Final = 32
"""Tokens of a canary's prompt with its chat template, where the engine does not tell their number."""


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
            (before.progress, after.progress),
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


def foreign_progress(
    before: MetricsObservation,
    after: MetricsObservation,
    canaries: Iterable[CanaryObservation],
    checks: Iterable[CheckObservation],
) -> float:
    """What the engine generated between two pages beyond our own requests; 0 where it is not told.

    Some engines count tokens when a request ends (SGLang, llama.cpp): their step counter is the better one.
    """
    one, other = before.reading, after.reading
    if one is None or other is None:
        return 0.0
    steps = (one.progress, other.progress)
    tokens = (one.generation_tokens, other.generation_tokens)
    by_steps = None not in steps
    first, last = steps if by_steps else tokens
    if first is None or last is None:
        return 0.0
    # What a check asks for stands among the canaries too, as far as it was heard of there.
    ours = (*canaries, *(answer.canary for check in checks for answer in check.answers))
    streams = {canary.id: canary for canary in ours}.values()
    own = sum(
        max(c.tokens, c.max_tokens) + (_prompt(c) if by_steps else 0)
        for c in streams
        if c.started_at <= after.at and (c.finished_at is None or c.finished_at >= before.at)
    )
    return max(0.0, last - first - own)


def _prompt(canary: CanaryObservation) -> int:
    told = canary.content.prompt_tokens
    return PROMPT_STEPS if told is None else told
