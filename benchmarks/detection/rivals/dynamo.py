"""NVIDIA Dynamo's canary: after 10 s without activity on an endpoint a request with a time-out of 3 s.

Its first answer counts; any chunk that is no error makes the endpoint ready again (ai-dynamo/dynamo
lib/runtime/src/health_check.rs, 01a13f01; defaults DYN_CANARY_WAIT_TIME 10, DYN_HEALTH_CHECK_REQUEST_TIMEOUT 3).

A worker that is not ready gets no requests at once. The operator's probes read the same status: liveness 5 s with one
failure, after a startup probe (deploy/cloud/operator/internal/dynamo/component_worker.go, 0284ad86).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.detection.rivals.asking import ask
from benchmarks.detection.rivals.kubelet import PLEG_SECONDS
from benchmarks.detection.trace import Deed
from e2e.fault_engine.traffic import request

if TYPE_CHECKING:
    from benchmarks.detection.rule import Replica

WAIT_SECONDS: Final = 10.0
TIMEOUT_SECONDS: Final = 3.0
LIVENESS_SECONDS: Final = 5.0
STARTUP_SECONDS: Final = 10.0
ACTIVITY_SECONDS: Final = 0.5
"""How often we look whether answers have moved; Dynamo is told of each chunk."""
CHUNK_MIN_BYTES: Final = 64


@dataclass(slots=True)
class Dynamo:
    """A `Rule`."""

    ready: bool = False
    active_at: float = 0.0
    acked: dict[str, int] = field(default_factory=dict)

    async def watch(self, replica: Replica) -> None:
        while True:
            if replica.running():
                await self._live(replica, replica.starts())
            self._show(replica, ready=False)
            await asyncio.sleep(PLEG_SECONDS)

    async def _live(self, replica: Replica, life: int) -> None:
        tasks = [asyncio.ensure_future(work) for work in (self._canaries(replica), self._liveness(replica))]
        try:
            while replica.running() and replica.starts() == life:
                await asyncio.sleep(PLEG_SECONDS)
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _canaries(self, replica: Replica) -> None:
        await self._started(replica)
        self.active_at = _now()
        self._show(replica, ready=True)
        while True:
            await asyncio.sleep(ACTIVITY_SECONDS)
            if self._is_active(replica):
                self.active_at = _now()
                self._show(replica, ready=True)
            elif _now() - self.active_at >= WAIT_SECONDS:
                self.active_at = _now()
                self._show(replica, ready=await canary(replica))

    async def _started(self, replica: Replica) -> None:
        """The worker registers when its engine is loaded."""
        while not await canary(replica):
            await asyncio.sleep(STARTUP_SECONDS)

    async def _liveness(self, replica: Replica) -> None:
        while not self.ready:
            await asyncio.sleep(STARTUP_SECONDS)
        while self.ready:
            await asyncio.sleep(LIVENESS_SECONDS)
        replica.restart()

    def _is_active(self, replica: Replica) -> bool:
        samples = replica.network.look(0, _now()).samples
        acked = {sample.peer: sample.acked or 0 for sample in samples if not sample.own}
        moved = any(count - self.acked.get(peer, 0) >= CHUNK_MIN_BYTES for peer, count in acked.items())
        self.acked = acked
        return moved

    def _show(self, replica: Replica, *, ready: bool) -> None:
        if ready != self.ready:
            self.ready = ready
            replica.did(Deed.ENTERED if ready else Deed.LEFT, "", "canary")


async def canary(replica: Replica) -> bool:
    """The first chunk of a one-token answer, if it is no error."""
    path, document = request(replica.dialect, "tiny", "Test", 1)
    answer = await ask(replica.network, path, seconds=TIMEOUT_SECONDS, document=document, first_part=True)
    return answer is not None and answer[0] == 200 and bool(answer[1]) and b'"error"' not in answer[1]


def _now() -> float:
    return asyncio.get_running_loop().time()
