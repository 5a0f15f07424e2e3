"""Faults at the door: requests that are never admitted, and the back pressure that is no fault."""

from dataclasses import dataclass
from typing import Final

from .kind import Fault, FaultKind, no_argument, number


class AdmissionStall(Fault):
    def admits(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class QueueFull(Fault):
    status: int

    def refusal_status(self) -> int | None:
        return self.status


def _queue_full(status: float) -> QueueFull:
    if status not in (429, 503):
        raise ValueError(f"needs 429 or 503, got {status:g}")
    return QueueFull(int(status))


KINDS: Final = (
    FaultKind(
        name="admission-stall",
        does="waiting requests get no slot although slots and KV cache are free; running ones finish",
        rows=("vllm#53130", "vllm#39863", "vllm#46283"),
        argument="",
        make=no_argument(AdmissionStall),
    ),
    FaultKind(
        name="queue-full",
        does="generation requests are turned away at once; no fault",
        rows=("TGI#3241", "vLLM --max-num-queued-reqs"),
        argument="429 or 503 (default 503)",
        make=number(_queue_full, default=503),
    ),
)
