"""Faults of speed, and the harmless slowness that must not be taken for a fault."""

from dataclasses import dataclass
from typing import Final

from .kind import Fault, FaultKind, number


@dataclass(frozen=True, slots=True)
class SlowStart(Fault):
    seconds: float

    def startup_seconds(self) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class Slow(Fault):
    seconds: float

    def step_seconds(self, healthy: float, admitted: int) -> float:
        del admitted
        return max(healthy, self.seconds)


@dataclass(slots=True)
class CompileStall(Fault):
    """One long step, with the next request that gets a slot; then as before."""

    seconds: float
    spent: bool = False

    def step_seconds(self, healthy: float, admitted: int) -> float:
        if self.spent or not admitted:
            return healthy
        self.spent = True
        return healthy + self.seconds


@dataclass(frozen=True, slots=True)
class SlowHealth(Fault):
    seconds: float

    def health_delay_seconds(self) -> float:
        return self.seconds


KINDS: Final = (
    FaultKind(
        name="slow-start",
        does="the port is refused for S seconds more after the start",
        rows=("snapshot#311", "normal model load"),
        argument="seconds",
        make=number(SlowStart),
    ),
    FaultKind(
        name="slow",
        does="a step, and so a token of each running request, takes S seconds",
        rows=("ollama#6380", "vllm#14151"),
        argument="seconds per token",
        make=number(Slow),
    ),
    FaultKind(
        name="jit-stall",
        does="the step of the next request takes S seconds once, as a kernel compile does; no fault",
        rows=("dynamo#14735",),
        argument="seconds",
        make=number(CompileStall),
    ),
    FaultKind(
        name="slow-health",
        does="/health and /ping answer after S seconds; no fault",
        rows=("aws-solutions#387: SGLang answers /health in 1.00-1.03 s",),
        argument="seconds (default 1.03)",
        make=number(SlowHealth, default=1.03),
    ),
)
