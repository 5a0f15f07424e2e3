"""Measures of generated text: how repetitive it is, and how much it says. No judgement."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ZLIB_FRAME_BYTES: Final = 8
"""Header and checksum, which say nothing about the text."""

_PIECE: Final = re.compile(r"\w+|[^\w\s]|\s")


def pieces(text: str) -> tuple[str, ...]:
    """Words, signs and single blanks: a stand-in for tokens where the engine does not tell them."""
    return tuple(_PIECE.findall(text))


def holds(text: str, words: str) -> bool:
    """They stand in it, not as a part of other words."""
    return re.search(rf"\b{re.escape(words)}\b", text) is not None


def repetition(tokens: Sequence[str]) -> float:
    """Share of pairs of neighbours that came before: 0 in plain text, near 1 in one token or a short loop."""
    neighbours = list(pairwise(tokens))
    return 1 - len(set(neighbours)) / len(neighbours) if neighbours else 0.0


def entropy(tokens: Sequence[str]) -> float:
    """Shannon entropy of the tokens' frequencies, in bits per token: 0 where all are the same."""
    total = len(tokens)
    return -sum(n / total * math.log2(n / total) for n in Counter(tokens).values()) + 0.0


def compressibility(text: str) -> float:
    """Share of its bytes that zlib saves, 0 to 1. Of use from some 80 bytes on."""
    data = text.encode()
    if not data:
        return 0.0
    return max(0.0, 1 - (len(zlib.compress(data, 9)) - ZLIB_FRAME_BYTES) / len(data))
