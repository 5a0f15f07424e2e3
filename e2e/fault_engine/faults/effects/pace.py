"""Slowness, faulty or harmless."""

from dataclasses import dataclass

from .effect import Effect


@dataclass(frozen=True, slots=True)
class SlowStart(Effect):
    seconds: float

    def startup_seconds(self) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class SlowSteps(Effect):
    seconds: float

    def step_seconds(self, healthy: float, admitted: int, requests: int) -> float:
        del admitted, requests
        return max(healthy, self.seconds)


@dataclass(slots=True)
class CompileStall(Effect):
    """One long step, with the next request that gets a slot; then as before."""

    seconds: float
    spent: bool = False

    def step_seconds(self, healthy: float, admitted: int, requests: int) -> float:
        del requests
        if self.spent or not admitted:
            return healthy
        self.spent = True
        return healthy + self.seconds


@dataclass(frozen=True, slots=True)
class LongAdmission(Effect):
    """The first step of every request takes so long; with `growth` more for each request before it."""

    seconds: float = 0.0
    growth: float = 0.0

    def step_seconds(self, healthy: float, admitted: int, requests: int) -> float:
        return healthy + (self.seconds + self.growth * requests if admitted else 0.0)


@dataclass(frozen=True, slots=True)
class SlowHealth(Effect):
    seconds: float

    def health_delay_seconds(self) -> float:
        return self.seconds
