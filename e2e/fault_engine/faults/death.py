"""Faults in which the EngineCore dies."""

from dataclasses import dataclass
from typing import Final

from .kind import Fault, FaultKind, number


@dataclass(frozen=True, slots=True)
class Die(Fault):
    seconds: float

    def death_delay_seconds(self) -> float | None:
        return self.seconds


@dataclass(frozen=True, slots=True)
class DieKeepAlive(Die):
    def outlives_core(self) -> bool:
        return True


KINDS: Final = (
    FaultKind(
        name="die",
        does="the EngineCore exits; /health answers 503 for a moment, then the server exits with code 0",
        rows=("vllm 0.8.2: assert num_new_blocks > 0", "kserve#6259", "vllm#16259"),
        argument="seconds until it dies (default 0)",
        make=number(Die, default=0.0),
    ),
    FaultKind(
        name="die-keepalive",
        does="the EngineCore exits, the API server stays: /health 503, completions 500, gauges stuck",
        rows=("vLLM with VLLM_KEEP_ALIVE_ON_ENGINE_DEATH=1", "kserve#3845"),
        argument="seconds until it dies (default 0)",
        make=number(DieKeepAlive, default=0.0),
    ),
)
