"""Text to token ids and back, without loss. Pure; common words are one token, everything else is spelt."""

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import product
from string import ascii_lowercase, digits
from typing import Final

BEGIN: Final = 0
END: Final = 1
ROLE_MARKS: Final = (2, 3)  # around a chat message, as in the recorded model's template
VOCABULARY_SIZE: Final = 2048

_TEXT: Final = """
the a one two each every that this with from into over under after before while until when where which what time
day night morning year river road house garden window door table book letter word story song voice light dark
water fire stone tree leaf field hill mountain sea ship harbour wind rain snow cloud star moon sun man woman
child friend teacher farmer captain doctor king queen people city village market street bridge walks runs speaks
writes reads opens closes carries finds keeps gives takes brings holds makes builds sees hears knows thinks
remembers waits stays leaves returns begins ends grows falls rises turns moves stands small large old new quiet
bright cold warm long short early late first last good plain strong gentle slow quick and but or so then again
always never often still soon far near here there up down out in on at by for red green blue white black grey
"""
_WORDS: Final = tuple(dict.fromkeys(_TEXT.split()))  # of which answers are made
_READ_ONLY: Final = ("tell", "of", "is", "to", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_FIRST: Final = 16
_PIECES: Final = (
    *(f" {word}".encode() for word in (*_WORDS, *_READ_ONLY)),
    *(word.encode() for word in (*_WORDS, *_READ_ONLY) if len(word) > 2),
    *(bytes([value]) for value in range(256)),
    *("".join(pair).encode() for pair in product(ascii_lowercase + digits, repeat=2)),
)
_IDS: Final = {piece: _FIRST + place for place, piece in enumerate(_PIECES)}
_TOKEN: Final = re.compile(r" ?\w+|\s|[^\w\s]")
_SPELT: Final = re.compile(rb"[a-z0-9]{2}|.", re.DOTALL)
_SHORTEST_ANSWER: Final = 24
_LONGEST_ANSWER: Final = 128


def encode(text: str) -> list[int]:
    return [token for piece in _TOKEN.findall(text) for token in _token_ids(piece.encode("utf-8", "replace"))]


def decode(tokens: Iterable[int]) -> str:
    """Marks have no text, and neither have ids outside the vocabulary."""
    return b"".join([_piece(token) for token in tokens]).decode("utf-8", "replace")


def answer_seed(prompt: Sequence[int], variation: str = "") -> int:
    """What fixes an answer: the prompt, and for sampled answers whatever should make them differ."""
    digest = blake2b(digest_size=8)
    digest.update(b"".join((token % (1 << 32)).to_bytes(4, "little") for token in prompt))
    digest.update(variation.encode())
    return int.from_bytes(digest.digest(), "little")


def answer_token(seed: int, position: int) -> int:
    return _FIRST + mixed(seed, position) % len(_WORDS)


def answer_length(seed: int) -> int:
    """After so many tokens the answer ends by itself, unless the end token is ignored."""
    return _SHORTEST_ANSWER + mixed(seed, -1) % (_LONGEST_ANSWER - _SHORTEST_ANSWER)


def mixed(seed: int, position: int) -> int:
    """splitmix64 of the pair: cheap, and neighbours share nothing."""
    mask = (1 << 64) - 1
    value = (seed + (position + 2) * 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


def _token_ids(piece: bytes) -> Iterator[int]:
    known = _IDS.get(piece)
    if known is not None:
        yield known
        return
    for part in _SPELT.findall(piece):
        yield _IDS[part]


def _piece(token: int) -> bytes:
    place = token - _FIRST
    return _PIECES[place] if 0 <= place < len(_PIECES) else b""
