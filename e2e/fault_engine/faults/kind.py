"""What a fault is: a description, and hooks that both processes ask. Pure."""

from collections.abc import Callable
from dataclasses import dataclass


class Fault:
    """One fault in force. Every hook's default is what a healthy engine does."""

    # asked by the EngineCore

    def freezes_core(self) -> bool:
        """The core goes on living, but neither steps nor reads what it is sent."""
        return False

    def admits(self) -> bool:
        """May a waiting request be given a slot?"""
        return True

    def emits(self, generated: int) -> bool:
        """May a request that has so many tokens get one more?"""
        del generated
        return True

    def step_seconds(self, healthy: float, admitted: int) -> float:
        """How long a step takes that began with so many newly admitted requests."""
        del admitted
        return healthy

    def startup_seconds(self) -> float:
        """What is added to the time that the start takes."""
        return 0.0

    def death_delay_seconds(self) -> float | None:
        """The core exits so long after the fault was set; None: it lives."""
        return None

    # asked by the API server

    def freezes_server(self) -> bool:
        """The API server's event loop stands still."""
        return False

    def outlives_core(self) -> bool:
        """The API server stays up after the core's death, as with VLLM_KEEP_ALIVE_ON_ENGINE_DEATH=1."""
        return False

    def health_delay_seconds(self) -> float:
        return 0.0

    def refusal_status(self) -> int | None:
        """The HTTP status with which every generation request is turned away at the door."""
        return None


@dataclass(frozen=True, slots=True)
class FaultKind:
    name: str
    does: str
    rows: tuple[str, ...]  # reports with this picture, as upstream issues or as a description
    argument: str  # what the argument means, "" if there is none
    make: Callable[[str | None], Fault]


def no_argument(fault: Callable[[], Fault]) -> Callable[[str | None], Fault]:
    def make(argument: str | None) -> Fault:
        if argument not in (None, ""):
            raise ValueError(f"takes no argument, got {argument!r}")
        return fault()

    return make


def number(fault: Callable[[float], Fault], default: float | None = None) -> Callable[[str | None], Fault]:
    def make(argument: str | None) -> Fault:
        if argument in (None, ""):
            if default is None:
                raise ValueError("needs a number")
            return fault(default)
        value = float(str(argument))
        if not 0 <= value < float("inf"):
            raise ValueError(f"needs a number that is not negative, got {argument!r}")
        return fault(value)

    return make
