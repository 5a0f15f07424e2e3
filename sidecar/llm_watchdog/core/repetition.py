"""Does a round of answers repeat itself far more than this model does when it is well? A tiny one repeats anyway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llm_watchdog.core import text
from llm_watchdog.core.check_prompts import FINGERPRINT
from llm_watchdog.core.signature import tokens_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_watchdog.core.check_rounds import CheckAnswer, CheckObservation
    from llm_watchdog.core.signature import Signature

REPETITION_MIN: Final = 0.6
REPETITION_MORE: Final = 0.3
"""Above the baseline."""
ENTROPY_MAX: Final = 1.0
"""Bits per token: two tokens in turn, for ever."""
ENTROPY_LESS: Final = 0.5
"""Of the baseline."""
COMPRESSIBILITY_MIN: Final = 0.7
COMPRESSIBILITY_MORE: Final = 0.25
POOLED_MIN_CHARACTERS: Final = 80
"""A shorter text compresses badly whatever it says."""
JUDGED_MIN_TOKENS: Final = 6
"""A shorter answer is no more repetitive than any."""
SHARE: Final = 0.6
"""Of the judged answers."""
JUDGED_MIN: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """How much of a round repeats itself."""

    answers: int
    judged: int
    compressibility: float
    """Of all answers together."""
    is_sick: bool


def repetition(check: CheckObservation, prompts: Sequence[Signature], compressibility: float) -> Repetition:
    """Against the prompts' signatures, and what the answers of a healthy round compress by together."""
    own = {prompt.prompt: prompt for prompt in prompts}
    judged = [
        (tokens_of(answer.canary), own[answer.prompt])
        for answer in check.answers
        if answer.prompt in own and len(tokens_of(answer.canary)) >= JUDGED_MIN_TOKENS
    ]
    found = sum(_repeats(tokens, prompt) for tokens, prompt in judged)
    pooled = said(check)
    share = text.compressibility(pooled)
    squeezed = len(pooled) >= POOLED_MIN_CHARACTERS and share >= max(
        COMPRESSIBILITY_MIN, compressibility + COMPRESSIBILITY_MORE
    )
    many = len(judged) >= JUDGED_MIN and found >= SHARE * len(judged)
    return Repetition(
        answers=found, judged=len(judged), compressibility=share, is_sick=bool(prompts) and (many or squeezed)
    )


def said(check: CheckObservation) -> str:
    """All fingerprint answers of a round in one text."""
    names = {prompt.name for prompt in FINGERPRINT}
    return "\n".join(_readable(answer) for answer in check.answers if answer.prompt in names)


def _readable(answer: CheckAnswer) -> str:
    return answer.canary.content.text or " ".join(tokens_of(answer.canary))


def _repeats(tokens: Sequence[str], own: Signature) -> bool:
    flat = text.entropy(tokens) < min(ENTROPY_MAX, ENTROPY_LESS * own.entropy)
    return flat or text.repetition(tokens) >= max(REPETITION_MIN, own.repetition + REPETITION_MORE)
