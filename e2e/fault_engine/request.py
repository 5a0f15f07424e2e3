"""What passes between the API server and the EngineCore: a request, what came of it, and the gauges. Pure."""

from dataclasses import dataclass, field
from typing import Any

from .limits import BLOCK_TOKENS
from .model import Choice, choose, greedy


@dataclass(slots=True)
class Request:
    """What the API server sends, and how far the answer is."""

    id: str
    prompt: list[int]
    seed: int
    max_tokens: int
    min_tokens: int = 0
    ignore_eos: bool = False
    salt: str = ""
    bypass: bool = False  # the prefix cache is not read
    script: list[int] = field(default_factory=list)
    ends: bool = True
    period: int = 0
    logprobs: bool = False

    computed: int = 0
    number: int = 0  # in the order of arrival
    cached: int = 0
    origin: int = 0  # the first request whose cached blocks it uses
    generated: int = 0
    beside: int = 0  # the most requests it ran beside
    leaked: bool = False  # over, and its slot is still held

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SENT}

    @property
    def blocks(self) -> int:
        return -(-(self.computed + self.generated) // BLOCK_TOKENS)

    @property
    def prefilled(self) -> bool:
        return self.computed >= len(self.prompt)

    def choose(self) -> Choice:
        """What a healthy model says next, and what it nearly said."""
        return choose(self.script, self.period, self.seed, self.generated)

    def next_token(self) -> int:
        """The same without numbers, which few ask for and which take three times as long."""
        return greedy(self.script, self.period, self.seed, self.generated)


_SENT = (
    "id",
    "prompt",
    "seed",
    "max_tokens",
    "min_tokens",
    "ignore_eos",
    "salt",
    "bypass",
    "script",
    "ends",
    "period",
    "logprobs",
)


@dataclass(frozen=True, slots=True)
class Said:
    """One generated token. The numbers are None where they are no numbers."""

    token: int
    logprob: float | None = None
    second: int = 0
    second_logprob: float | None = None

    def as_json(self) -> list[Any]:
        return [self.token, self.logprob, self.second, self.second_logprob]


@dataclass(slots=True)
class Output:
    id: str
    said: list[Said]
    finish: str | None = None
    cached: int = 0

    @property
    def tokens(self) -> list[int]:
        return [said.token for said in self.said]

    def as_json(self) -> list[Any]:
        return [self.id, [said.as_json() for said in self.said], self.finish, self.cached]

    @classmethod
    def from_json(cls, document: list[Any]) -> "Output":
        name, said, finish, cached = document
        return cls(name, [Said(*one) for one in said], finish, cached)


@dataclass(frozen=True, slots=True)
class Stats:
    running: int
    waiting: int
    withheld: bool  # waiting for something other than a slot
    kv_usage: float
    prefix_queries: int
    prefix_hits: int
    decoded: int = 0  # tokens, as the engine counts its steps
    prefilled: int = 0
    batches: int = 0

    def as_json(self) -> list[Any]:
        return [getattr(self, name) for name in self.__slots__]
