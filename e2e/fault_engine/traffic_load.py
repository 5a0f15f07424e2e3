"""How much background traffic there is. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class TrafficLoad:
    streams: int = 0
    """Users, each with one stream after the other in a connection of its own."""
    max_tokens: int = 64
    prompt_words: int = 40
    pause_seconds: float = 0.5
    """Between the end of a stream and the next."""
    burst: int = 0
    """So many requests at once at the beginning, in addition."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TrafficLoad":
        """Raises TypeError and ValueError."""
        load = cls(**document)
        if any(isinstance(value, bool) or value < 0 for value in asdict(load).values()):
            raise ValueError("numbers that are not negative are needed")
        return load


NO_TRAFFIC: Final = TrafficLoad()
