"""Wrong tokens and wrong numbers."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ... import tokenizer
from .effect import Effect

if TYPE_CHECKING:
    from ...request import Request, Said

_DRIFT: Final = 0xD81F7
_CERTAIN: Final = -0.01  # nats, of each token of a loop


@dataclass(frozen=True, slots=True)
class Repeat(Effect):
    """One text for ever, of which the model is nearly certain, and no end before the limit."""

    text: str = "!"
    after: int = 0

    def says(self, request: "Request", said: "Said") -> "Said":
        if request.generated < self.after:
            return said
        tokens = tokenizer.encode(self.text)
        token = tokens[(request.generated - self.after) % len(tokens)]
        return replace(said, token=token, logprob=None if said.logprob is None else _CERTAIN)

    def ends(self, request: "Request", *, ended: bool) -> bool:
        return ended and request.generated < self.after


@dataclass(frozen=True, slots=True)
class Drift(Effect):
    """Fluent, and another model's: nothing that it was asked for, other words, other probabilities."""

    share: float = 1.0
    """Of the tokens."""

    def says(self, request: "Request", said: "Said") -> "Said":
        luck = tokenizer.mixed(request.seed ^ _DRIFT, request.generated) / (1 << 64)
        if luck >= self.share:
            return said
        token = tokenizer.answer_token(request.seed ^ _DRIFT, request.generated)
        return replace(said, token=token, logprob=None if said.logprob is None else -1.0 - 2 * luck)


class Gibberish(Effect):
    """Random pieces of words, each as unlikely as the other."""

    def says(self, request: "Request", said: "Said") -> "Said":
        token = 500 + tokenizer.mixed(request.seed ^ _DRIFT, request.generated) % 1300
        return replace(said, token=token, logprob=None if said.logprob is None else -7.6)

    def ends(self, request: "Request", *, ended: bool) -> bool:
        del request, ended
        return False


class BrokenNumbers(Effect):
    """NaN weights: log probabilities are no numbers, and the argmax of NaN is token 0."""

    def says(self, request: "Request", said: "Said") -> "Said":
        del request
        return replace(said, token=tokenizer.encode("!")[0], logprob=None, second_logprob=None)

    def ends(self, request: "Request", *, ended: bool) -> bool:
        del request, ended
        return False
