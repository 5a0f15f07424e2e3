"""Content that belongs to another request."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .effect import Effect

if TYPE_CHECKING:
    from ...request import Output


@dataclass(frozen=True, slots=True)
class Swap(Effect):
    """Each of the concurrent streams gets its neighbour's tokens."""

    concurrent: int = 2

    def mixes(self, outputs: "list[Output]") -> "list[Output]":
        speaking = [output for output in outputs if output.said]
        if len(speaking) < self.concurrent:
            return outputs
        spoken = [output.said for output in speaking]
        given = dict(zip((output.id for output in speaking), spoken[1:] + spoken[:1], strict=True))
        return [replace(output, said=given.get(output.id, output.said)) for output in outputs]


@dataclass(frozen=True, slots=True)
class Rob(Effect):
    """One queue for all: whoever asks first gets everything, the others nothing."""

    def mixes(self, outputs: "list[Output]") -> "list[Output]":
        speaking = [output for output in outputs if output.said]
        if len(speaking) < 2:
            return outputs
        everything = [said for output in speaking for said in output.said]
        robber = speaking[0].id
        return [replace(output, said=everything if output.id == robber else []) for output in outputs]


@dataclass(frozen=True, slots=True)
class Bleed(Effect):
    """What an abandoned stream had yet to say is given to the next one."""

    tokens: int = 12

    def bleeds(self) -> int:
        return self.tokens
