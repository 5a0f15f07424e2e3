"""How far two greedy answers to one prompt depart: the watchdog compares over time, the operator over replicas.

A greedy answer is not bit-stable on a GPU: another batch, or another kernel, moves log probabilities by some
hundredths, and where two tokens are almost equally likely the answer takes the other path. Such a tie shows: both
paths' tokens have almost the same log probability. So a departure has degrees, and is judged k of n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Final

NONE: Final = 0.0
TIE: Final = 0.5
"""The answer took another path where both were about as likely."""
UNCLEAR: Final = 0.75
"""It took another path, and the engine does not tell how likely either was."""
CLEAR: Final = 1.0

LOGPROB_TOLERANCE: Final = 0.1
"""Nats. More than bfloat16 kernels differ by; the replica's own spread widens it."""
LOGPROB_FAR: Final = 0.5
"""Nats on average, over tokens that are the same: other weights."""
DRIFT_SHARE: Final = 0.6
"""Of the summed departures, per stable prompt."""
STABLE_MIN: Final = 2
"""Fewer prompts that the model is sure of make no fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GreedyAnswer:
    """To one prompt, as `replica.baseline.prompts` of `/status` has it."""

    tokens: Sequence[str] = ()
    """Token ids as text, or pieces of the text where the engine tells no ids."""
    by_id: bool = False
    logprobs: Sequence[float] = ()
    """One for each token, or none."""
    tolerance: float = LOGPROB_TOLERANCE


def departure(own: GreedyAnswer, other: GreedyAnswer) -> float:
    """`NONE`, `TIE`, `UNCLEAR` or `CLEAR`. An answer that cannot be compared does not depart."""
    if own.by_id is not other.by_id or not own.tokens:
        return NONE
    same = common_prefix(own.tokens, other.tokens)
    told = bool(own.logprobs and other.logprobs)
    if told and logprob_distance(own.logprobs, other.logprobs, same) > LOGPROB_FAR + own.tolerance:
        return CLEAR
    if same == len(own.tokens) == len(other.tokens):
        return NONE
    if same == min(len(own.tokens), len(other.tokens)):
        # One goes on where the other ended; how likely the end was is not told.
        return TIE
    if not told:
        return UNCLEAR
    return TIE if _may_be_a_tie(own.logprobs[same], other.logprobs[same], own.tolerance) else CLEAR


def departs(departures: Sequence[float]) -> bool | None:
    """Judged k of n, one for each prompt that the model is sure of. None: too few of them."""
    return sum(departures) >= DRIFT_SHARE * len(departures) if len(departures) >= STABLE_MIN else None


def _may_be_a_tie(one: float, other: float, tolerance: float) -> bool:
    """Two next tokens of one distribution: about as likely, and together no more than certain.

    A sick model may be as sure of its wrong token as the sound one was of the right one (vllm#55766).
    """
    return abs(one - other) <= tolerance and exp(one) + exp(other) <= exp(tolerance)


def common_prefix(one: Sequence[str], other: Sequence[str]) -> int:
    """How many tokens agree from the start. A greedy answer that left its path once never comes back to it."""
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def logprob_distance(one: Sequence[float], other: Sequence[float], count: int) -> float:
    """Mean absolute difference of the first `count` log probabilities, in nats; 0 where there are none."""
    apart = [abs(mine - theirs) for mine, theirs in zip(one[:count], other[:count], strict=False)]
    return sum(apart) / len(apart) if apart else 0.0
