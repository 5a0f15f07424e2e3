"""What the active checks ask. Fixed texts: a fingerprint is comparable only with one of the same question.

Each has a continuation that a language model is sure of, so that rounding differences between two kernels seldom
change the answer; which of them a given model is really sure of is measured (`core.baseline`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPrompt:
    """One question, and how many tokens may be generated for it."""

    name: str
    text: str
    max_tokens: int
    right: str = ""
    """Part of any right answer."""


FINGERPRINT: Final = (
    CheckPrompt(name="alphabet", text="a b c d e f g h i j", max_tokens=12, right="k l"),
    CheckPrompt(name="count", text="1, 2, 3, 4, 5, 6, 7, 8, 9,", max_tokens=12, right="10"),
    CheckPrompt(name="days", text="Monday, Tuesday, Wednesday, Thursday,", max_tokens=12, right="Friday"),
    CheckPrompt(
        name="capital",
        text="The capital of France is Paris. The capital of Japan is",
        max_tokens=12,
        right="Tokyo",
    ),
    CheckPrompt(
        name="stop",
        text="Question: what is 2 + 2? Answer with one number and stop.\nAnswer:",
        max_tokens=24,
        right="4",
    ),
)
"""The last one is there for models that stop by themselves; whether this one does is measured."""

KNOWN_MAX_TOKENS: Final = 32
KNOWN_PREFIX: Final = "known: "

CACHED: Final = CheckPrompt(
    name="cached",
    text="Numbers in order: " + ", ".join(str(number) for number in range(101, 181)) + ",",
    max_tokens=8,
)
"""Only whole blocks of a prompt are cached, of 16 tokens in vLLM, more in hybrid models: this one has 200 or so."""

ECHO_MAX_TOKENS: Final = 24
NONCE_GROUPS: Final = 3
"""Of random signs: a stream that was mixed with another carries some of its groups, though none in full order."""
DROP_AFTER_TOKENS: Final = 2
SLOTS_MAX: Final = 8


def known(question: str) -> CheckPrompt:
    """A question of the user's, whose answer is known."""
    return CheckPrompt(name=KNOWN_PREFIX + question, text=question, max_tokens=KNOWN_MAX_TOKENS)


def echo(name: str, nonce: str) -> CheckPrompt:
    """Repeat the nonce. Models without instruction tuning go on with what stood twice before."""
    text = f"Repeat these words and nothing else: {nonce}\n{nonce}\n{nonce}\n"
    return CheckPrompt(name=name, text=text, max_tokens=ECHO_MAX_TOKENS)
