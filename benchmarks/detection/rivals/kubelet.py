"""The kubelet's probes: what Kubernetes does with `startupProbe`, `livenessProbe` and `readinessProbe`.

https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/: an HTTP probe succeeds with a
status from 200 to 399; the others wait for the startup probe; a probe that still runs when it is due is not doubled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from benchmarks.detection.rivals.asking import ask
from benchmarks.detection.trace import Deed

if TYPE_CHECKING:
    from benchmarks.detection.rule import Replica

PLEG_SECONDS: Final = 1.0
"""How soon the kubelet notices that a container has ended."""
BAD_REQUEST: Final = 400
OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Defaults are the API's."""

    path: str
    period: float = 10.0
    timeout: float = 1.0
    failures: int = 3
    initial_delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    startup: Probe | None = None
    liveness: Probe | None = None
    readiness: Probe | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a probe's last answers add up to. `good` is None until it is known."""

    probe: Probe
    good: bool | None = None
    failed: int = 0

    def after(self, *, passed: bool) -> Standing:
        """One success is enough; failures count in a row."""
        if passed:
            return replace(self, good=True, failed=0)
        failed = self.failed + 1
        return replace(self, failed=failed, good=False if failed >= self.probe.failures else self.good)


Asking = Callable[["Replica", Probe], Awaitable[bool]]


async def ask_engine(replica: Replica, probe: Probe) -> bool:
    """The engine's own endpoint."""
    answer = await ask(replica.network, probe.path, seconds=probe.timeout)
    return answer is not None and OK <= answer[0] < BAD_REQUEST


@dataclass(slots=True)
class Kubelet:
    """A `Rule`."""

    probes: Probes
    asking: Asking = ask_engine
    """Liveness and readiness may ask a sidecar instead of the engine."""
    _in: bool = field(default=False)

    async def watch(self, replica: Replica) -> None:
        while True:
            if replica.running():
                await self._live(replica, replica.starts())
            self._rotate(replica, to=False)
            await asyncio.sleep(PLEG_SECONDS)

    async def _live(self, replica: Replica, life: int) -> None:
        """One life of the container."""
        probing = asyncio.ensure_future(self._probe(replica))
        try:
            while replica.running() and replica.starts() == life and not probing.done():
                await asyncio.wait((probing,), timeout=PLEG_SECONDS)
            if probing.done():
                probing.result()
                replica.restart()
                while replica.running() and replica.starts() == life:
                    await asyncio.sleep(PLEG_SECONDS)
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    async def _probe(self, replica: Replica) -> None:
        """Returns when the container is to be restarted."""
        began = asyncio.get_running_loop().time()
        startup = self.probes.startup
        if startup is not None and not await self._started(replica, startup):
            return
        waits = [asyncio.ensure_future(self._readiness(replica, began))]
        if self.probes.liveness is not None:
            waits.append(asyncio.ensure_future(self._until_dead(replica, self.probes.liveness, began)))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waits:
                task.cancel()

    async def _started(self, replica: Replica, probe: Probe) -> bool:
        async for standing in self._standings(replica, probe, ask_engine, asyncio.get_running_loop().time()):
            if standing.good is not None:
                return standing.good
        raise AssertionError("probes go on for ever")

    async def _until_dead(self, replica: Replica, probe: Probe, began: float) -> None:
        async for standing in self._standings(replica, probe, self.asking, began):
            if standing.good is False:
                return

    async def _readiness(self, replica: Replica, began: float) -> None:
        probe = self.probes.readiness
        if probe is None:
            self._rotate(replica, to=True)
            await asyncio.Event().wait()
            return
        async for standing in self._standings(replica, probe, self.asking, began):
            self._rotate(replica, to=standing.good is True)

    async def _standings(self, replica: Replica, probe: Probe, asking: Asking, began: float) -> AsyncIterator[Standing]:
        loop = asyncio.get_running_loop()
        standing = Standing(probe=probe)
        await asyncio.sleep(max(0.0, began + probe.initial_delay - loop.time()))
        due = loop.time()
        while True:
            standing = standing.after(passed=await asking(replica, probe))
            yield standing
            due += probe.period
            while due < loop.time():
                due += probe.period
            await asyncio.sleep(due - loop.time())

    def _rotate(self, replica: Replica, *, to: bool) -> None:
        if to != self._in:
            self._in = to
            replica.did(Deed.ENTERED if to else Deed.LEFT, "", "readiness")
