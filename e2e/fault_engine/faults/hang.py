"""Faults in which something stands still while health answers 200."""

from dataclasses import dataclass
from typing import Final

from .kind import Fault, FaultKind, no_argument, number


class Hang(Fault):
    def freezes_core(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class StallAfter(Fault):
    tokens: float

    def emits(self, generated: int) -> bool:
        return generated < self.tokens


class ServerFreeze(Fault):
    def freezes_server(self) -> bool:
        return True


KINDS: Final = (
    FaultKind(
        name="hang",
        does="the EngineCore stops stepping; /health stays 200, metrics freeze, every request waits",
        rows=("vllm#49210", "vllm#36451", "vllm#17972", "sglang#4191"),
        argument="",
        make=no_argument(Hang),
    ),
    FaultKind(
        name="stall-after",
        does="each request keeps its slot but gets no token after the N-th; other requests go on",
        rows=("llama.cpp#27388", "omlx#2858", "dynamo#7545"),
        argument="tokens",
        make=number(StallAfter),
    ),
    FaultKind(
        name="api-server-freeze",
        does="the API server's event loop blocks: connections open, nothing is answered, not even /health",
        rows=("ray#61263", "FastChat: an embeddings call blocks the worker's loop"),
        argument="",
        make=no_argument(ServerFreeze),
    ),
)
