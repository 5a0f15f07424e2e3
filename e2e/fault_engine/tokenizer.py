"""Text to token ids and back, and the next token of an answer. Pure: the same prompt has the same answer everywhere."""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final
from zlib import crc32

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
_WORDS: Final = tuple(_TEXT.split())
_FIRST_WORD: Final = 16
_IDS: Final = {word: _FIRST_WORD + place for place, word in enumerate(_WORDS)}
_FIRST_OTHER: Final = _FIRST_WORD + len(_WORDS)
_TOKEN: Final = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")
_SHORTEST_ANSWER: Final = 24
_LONGEST_ANSWER: Final = 128


def encode(text: str) -> list[int]:
    return [_token_id(piece) for piece in _TOKEN.findall(text)]


def decode(tokens: Iterable[int]) -> str:
    return "".join(_piece(token) for token in tokens)


def answer_seed(prompt: Sequence[int], variation: str = "") -> int:
    """What fixes an answer: the prompt, and for sampled answers whatever should make them differ."""
    digest = blake2b(digest_size=8)
    digest.update(b"".join(token.to_bytes(4, "little") for token in prompt))
    digest.update(variation.encode())
    return int.from_bytes(digest.digest(), "little")


def answer_token(seed: int, position: int) -> int:
    return _FIRST_WORD + _mixed(seed, position) % len(_WORDS)


def answer_length(seed: int) -> int:
    """After so many tokens the answer ends by itself, unless the end token is ignored."""
    return _SHORTEST_ANSWER + _mixed(seed, -1) % (_LONGEST_ANSWER - _SHORTEST_ANSWER)


def _token_id(piece: str) -> int:
    known = _IDS.get(piece.strip())
    if known is not None:
        return known
    return _FIRST_OTHER + crc32(piece.encode()) % (VOCABULARY_SIZE - _FIRST_OTHER)


def _piece(token: int) -> str:
    place = token - _FIRST_WORD
    if 0 <= place < len(_WORDS):
        return " " + _WORDS[place]
    return f" <{token}>"


def _mixed(seed: int, position: int) -> int:
    """splitmix64 of the pair: cheap, and neighbours share nothing."""
    mask = (1 << 64) - 1
    value = (seed + (position + 2) * 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)
