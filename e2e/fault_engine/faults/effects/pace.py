"""Slowness, faulty or harmless."""

from dataclasses import dataclass

from .effect import Admission, Effect


@dataclass(frozen=True, slots=True)
class SlowStart(Effect):
    seconds: float

    def startup_seconds(self) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class SlowSteps(Effect):
    seconds: float

    def step_seconds(self, healthy: float, admitted: Admission, requests: int) -> float:
        del admitted, requests
        return max(healthy, self.seconds)


@dataclass(slots=True)
class CompileStall(Effect):
    """One long step, with the next request whose prompt has a length that was never seen; then as before."""

    seconds: float
    spent: bool = False

    def step_seconds(self, healthy: float, admitted: Admission, requests: int) -> float:
        del requests
        if self.spent or not admitted.unseen:
            return healthy
        self.spent = True
        return healthy + self.seconds


@dataclass(frozen=True, slots=True)
class LongAdmission(Effect):
    """The first step of a request takes so long; with `growth` more for each request before it."""

    seconds: float = 0.0
    growth: float = 0.0
    tokens: int = 0
    """Only where the prompt has so many."""

    def step_seconds(self, healthy: float, admitted: Admission, requests: int) -> float:
        if not admitted.requests or admitted.longest < self.tokens:
            return healthy
        return healthy + self.seconds + self.growth * requests


@dataclass(frozen=True, slots=True)
class SlowHealth(Effect):
    seconds: float

    def health_delay_seconds(self) -> float:
        return self.seconds
