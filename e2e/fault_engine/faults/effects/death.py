"""Death, and refusal at the door."""

from dataclasses import dataclass

from .effect import Effect, Refusal


@dataclass(frozen=True, slots=True)
class Die(Effect):
    """The EngineCore exits, and the server with it unless it is kept alive."""

    seconds: float = 0.0
    keep_alive: bool = False

    def death_delay_seconds(self) -> float | None:
        return self.seconds

    def outlives_core(self) -> bool:
        return self.keep_alive


@dataclass(frozen=True, slots=True)
class Refuse(Effect):
    """Every generation request is answered with an error at once."""

    status: int
    message: str = "The request queue is full. Please retry later."
    plain: bool = False
    """The message alone, as the web framework writes it."""

    def refusal(self) -> Refusal | None:
        return Refusal(self.status, self.message, self.plain)


@dataclass(frozen=True, slots=True)
class HealthStatus(Effect):
    status: int

    def health_status(self) -> int | None:
        return self.status
