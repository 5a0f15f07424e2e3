"""Other words for the same question, for servers that refuse the first ones with a 4xx.

A server that names the field which it does not like is believed; otherwise the manners of `plan` are tried in order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from llm_watchdog.engines.dialect import Ask, Call, Dialect

LEAST_TOKENS: Final = 16
"""Some gateways refuse less: `integer below minimum value. Expected a value >= 16`."""


class Concession(StrEnum):
    """One thing to ask differently."""

    MAX_COMPLETION_TOKENS = "MaxCompletionTokens"
    """Instead of `max_tokens`, which reasoning models refuse."""
    LEAST_TOKENS = "LeastTokens"
    NO_TEMPERATURE = "NoTemperature"
    """Reasoning models know but one."""
    NO_SEED = "NoSeed"
    NO_STREAM_OPTIONS = "NoStreamOptions"


_DROPPED: Final = {
    Concession.NO_TEMPERATURE: "temperature",
    Concession.NO_SEED: "seed",
    Concession.NO_STREAM_OPTIONS: "stream_options",
}
_HINTS: Final = {
    Concession.MAX_COMPLETION_TOKENS: re.compile(r"max_completion_tokens"),
    Concession.LEAST_TOKENS: re.compile(r"(below minimum|at least|>=).{0,40}\b16\b", re.DOTALL),
    Concession.NO_TEMPERATURE: re.compile(r"temperature"),
    Concession.NO_SEED: re.compile(r"\bseed\b"),
    Concession.NO_STREAM_OPTIONS: re.compile(r"stream_options|include_usage"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """A way to ask."""

    shape: str
    concessions: frozenset[Concession] = frozenset()

    def tokens(self, wanted: int) -> int:
        """How many tokens to ask for."""
        return max(wanted, LEAST_TOKENS) if Concession.LEAST_TOKENS in self.concessions else wanted

    def put(self, dialect: Dialect, ask: Ask) -> Call:
        """The question in this manner."""
        call = dialect.generate(self.shape, replace(ask, max_tokens=self.tokens(ask.max_tokens)))
        dropped = {field for concession, field in _DROPPED.items() if concession in self.concessions}
        body = {field: value for field, value in (call.body or {}).items() if field not in dropped}
        if Concession.MAX_COMPLETION_TOKENS in self.concessions and "max_tokens" in body:
            body["max_completion_tokens"] = body.pop("max_tokens")
        return replace(call, body=body)

    def conceding(self, *concessions: Concession) -> Manner:
        """The same with more concessions."""
        return replace(self, concessions=self.concessions | frozenset(concessions))


def plan(shapes: tuple[str, ...]) -> tuple[Manner, ...]:
    """Every manner that is worth a try, the likely ones first.

    All that can be left out is left out before `max_tokens` goes too: a server that does not know its other name
    would generate without a limit.
    """
    first, *others = (Manner(shape=shape) for shape in shapes)
    early = (Concession.MAX_COMPLETION_TOKENS, Concession.LEAST_TOKENS, Concession.NO_TEMPERATURE)
    late = (Concession.NO_SEED, Concession.NO_STREAM_OPTIONS)
    bare = (Concession.LEAST_TOKENS, *_DROPPED)
    return (
        first,
        *(first.conceding(concession) for concession in early),
        *others,
        *(first.conceding(concession) for concession in late),
        *(other.conceding(concession) for other in others for concession in (*early, *late)),
        *(manner.conceding(*bare) for manner in (first, *others)),
        *(manner.conceding(*Concession) for manner in (first, *others)),
    )


def next_manner(
    current: Manner, tried: AbstractSet[Manner], shapes: tuple[str, ...], said: str, *, no_endpoint: bool
) -> Manner | None:
    """What to try after a refusal in these words; None when everything was tried.

    `no_endpoint`: the server does not know the path, so no other words for the same one will help.
    """
    untried = [manner for manner in plan(shapes) if manner not in tried]
    if no_endpoint:
        return next((manner for manner in untried if manner.shape != current.shape), None)
    hinted = (current.conceding(concession) for concession, words in _HINTS.items() if words.search(said))
    return next((manner for manner in hinted if manner not in tried), untried[0] if untried else None)
