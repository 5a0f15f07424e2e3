"""What a model says: an echo, a known answer, or words that hang on the prompt. Pure.

The model is no language model. It does what probes ask of one: it repeats what it is told to repeat, knows a few
answers, stops by itself, and gives the same greedy answer to the same prompt.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Final

from . import tokenizer

_ECHO: Final = re.compile(r"(?:repeat|echo|copy|say)\b[^:\n]*:\s*[\"'`]?([^\n\"'`]+)", re.IGNORECASE)
_ANSWERS: Final[Mapping[str, str]] = {
    r"capital of france": " Paris.",
    r"capital of japan": " Tokyo.",
    r"(?:2|two) ?(?:\+|plus) ?(?:2|two)": " 4",
    r"(?:opposite of hot|hot is to cold)": " cold",
    r"first month": " January",
    r"days (?:are )?in a week": " seven",
}
_NUMBERS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ARITHMETIC: Final = re.compile(r"(\d{1,6}) ?([+*-]) ?(\d{1,6})")
_REASONING_TOKENS: Final = 12
_TINY_PERIOD: Final = 3  # a small random model falls into a loop at once
_SCRIPTED_MARGIN: Final = 6.0  # nats between what was asked for and the runner-up


class ModelKind(StrEnum):
    ECHO = "echo"
    """Follows instructions and stops by itself."""
    BASE = "base"
    """Continues text: no echo, no answers, no end before the limit."""
    TINY_RANDOM = "tiny-random"
    """Random weights: the same few tokens in a loop, for ever. Healthy all the same."""
    REASONING = "reasoning"
    """As `echo`, after some tokens of reasoning."""


@dataclass(frozen=True, slots=True)
class Script:
    """What is certain of an answer before it is generated."""

    tokens: tuple[int, ...] = ()
    ends: bool = True
    period: int = 0
    """Words repeat after so many tokens; 0: never."""
    reasoning: int = 0
    """How many of the first tokens are reasoning."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A token and its runner-up, with their log probabilities."""

    token: int
    logprob: float
    second: int
    second_logprob: float


def script(kind: ModelKind, text: str, seed: int) -> Script:
    """What this kind of model makes of a prompt."""
    match kind:
        case ModelKind.BASE:
            return Script(ends=False)
        case ModelKind.TINY_RANDOM:
            return Script(ends=False, period=_TINY_PERIOD)
        case ModelKind.ECHO:
            return Script(tuple(tokenizer.encode(_instructed(text))))
        case ModelKind.REASONING:
            thought = tuple(tokenizer.answer_token(~seed, place) for place in range(_REASONING_TOKENS))
            answer = tokenizer.encode(_instructed(text)) or _words(seed, tokenizer.answer_length(seed))
            return Script((*thought, *answer), reasoning=len(thought))


def greedy(script_tokens: Sequence[int], period: int, seed: int, position: int) -> int:
    """The token of the greedy choice at a position."""
    if position < len(script_tokens):
        return script_tokens[position]
    return tokenizer.answer_token(seed, position % period if period else position)


def choose(script_tokens: Sequence[int], period: int, seed: int, position: int) -> Choice:
    """The greedy choice with its numbers. Words are less certain than what was asked for; some are nearly a tie."""
    place = position % period if period else position
    scripted = position < len(script_tokens)
    token = greedy(script_tokens, period, seed, position)
    luck = tokenizer.mixed(seed ^ 0x5DEECE66D, place) / (1 << 64)
    margin = _SCRIPTED_MARGIN if scripted else 0.02 + 3 * luck
    logprob = -0.003 if scripted else -0.1 - 1.5 * (1 - luck)
    second = tokenizer.answer_token(seed ^ 0x9E3779B9, place)
    if second == token:
        second = tokenizer.END
    return Choice(token, logprob, second, logprob - margin)


def _words(seed: int, length: int) -> list[int]:
    return [tokenizer.answer_token(seed, place) for place in range(length)]


def _instructed(text: str) -> str:
    """The answer that the prompt demands; empty where it demands none."""
    echoes = _ECHO.findall(text)
    if echoes:
        return f" {echoes[-1].strip()}"
    asked = [(found.end(), answer) for found, answer in _questions(text)]
    if asked:
        return max(asked)[1]
    sums = _ARITHMETIC.findall(text)
    if sums:
        left, sign, right = sums[-1]
        return f" {_calculate(int(left), sign, int(right))}"
    return _counted_on(text)


def _questions(text: str) -> list[tuple[re.Match[str], str]]:
    """Those that it knows, each with its answer."""
    return [
        (found, answer) for question, answer in _ANSWERS.items() for found in re.finditer(question, text, re.IGNORECASE)
    ]


def _calculate(left: int, sign: str, right: int) -> int:
    match sign:
        case "+":
            return left + right
        case "-":
            return left - right
        case _:
            return left * right


def _counted_on(text: str) -> str:
    words = re.findall(r"\w+", text.lower())
    counted = list(takewhile(lambda word: word in _NUMBERS, reversed(words)))
    if len(counted) < 2:
        return ""
    return ",".join(f" {number}" for number in _NUMBERS[_NUMBERS.index(counted[0]) + 1 :]) + "."
