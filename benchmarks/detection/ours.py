"""The product as a rule: its own watcher, loop and remediation in default policy, as `llm-watchdog run` wires them.

What differs from the process: the transport, the sockets, the restart and the disk of the journal are simulated.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.detection.simulation.network import Transport
from benchmarks.detection.trace import Deed
from llm_watchdog import orders
from llm_watchdog.actions.abort import RequestAbort
from llm_watchdog.actions.flush import CacheFlush
from llm_watchdog.actions.power import EnginePower
from llm_watchdog.api.policy import EngineTarget, EngineType, Policy, ProbeCost
from llm_watchdog.cli.standalone import identity
from llm_watchdog.clock import Clock
from llm_watchdog.core.replica import Replica as Memory
from llm_watchdog.core.situation import OrderAnswer, OrderState
from llm_watchdog.crash_points import CrashPoints
from llm_watchdog.engines.registry import dialect_of
from llm_watchdog.journal import Journal
from llm_watchdog.loop import Loop
from llm_watchdog.probes.engine_client import EngineClient
from llm_watchdog.probes.watch import Watcher
from llm_watchdog.recorder.local import LocalRecorder
from llm_watchdog.settings import FixedPolicy, HostInfo, StatedModes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.detection.rule import Replica
    from llm_watchdog.core.case import Case, Order
    from llm_watchdog.core.precaution import Precaution
    from llm_watchdog.core.rotation import Rotation

HOST: Final = "127.0.0.1"
PORT: Final = 8000
MODEL: Final = "tiny"
UNTOLD_SLOTS: Final = frozenset({"fastchat", "dbgpt", "lazyllm", "chatchat"})
"""These servers do not say how many requests they serve at once, so a user has to."""


def policy_for(dialect: str, slots: int) -> Policy:
    """Defaults. What a user states about the server is stated; no threshold is."""
    target = EngineTarget(
        type=EngineType(dialect),
        probe_cost=ProbeCost.FREE,
        port=PORT,
        model=MODEL,
        concurrency=slots if dialect in UNTOLD_SLOTS else None,
        path="/chat" if dialect == "lazyllm" else None,
        text_field="query" if dialect == "lazyllm" else None,
    )
    return Policy(engine=target)


class Ours:
    """A `Rule`."""

    async def watch(self, replica: Replica) -> None:
        with tempfile.TemporaryDirectory(prefix="detection-", dir=_fast_disk()) as directory:
            await self._watch(replica, Path(directory))

    async def _watch(self, replica: Replica, directory: Path) -> None:
        logging.getLogger("llm_watchdog").setLevel(logging.CRITICAL)
        policy = FixedPolicy(policy_for(replica.dialect, replica.slots))
        clock = Clock()
        who = identity(HOST, PORT, "simulated")
        watcher = Watcher(
            policy.policy,
            pod=who.pod.name,
            clock=clock.monotonic,
            transport=Transport(replica.network),
            look_at_sockets=replica.network.look,
            today=lambda: clock.now().date().isoformat(),
        )
        dialect = dialect_of(policy.policy.engine)
        client = EngineClient(PORT, lambda: None, Transport(replica.network), forbidden=dialect.forbidden)
        recorder = _Recorder(replica, clock, policy, directory)
        loop = Loop(
            identity=who,
            replica=Memory(),
            policy=policy,
            place=HostInfo(directory, has_command=True),
            watcher=watcher,
            recorder=recorder,
            restart=_Restart(replica, clock, directory),
            flush=CacheFlush(client, dialect, aside=watcher.standing_aside, flushed=watcher.recheck),
            power=EnginePower(client, dialect, aside=watcher.standing_aside, wake_failed=watcher.note_wake_failed),
            abort=RequestAbort(client, dialect, watcher.unended, aside=watcher.standing_aside),
            journal=_Journal(directory),
            clock=clock,
            crash_points=CrashPoints(None, directory),
            jitter=timedelta(),
            tell=lambda before, after: _tell(replica, before.cases, after.cases),
        )
        try:
            async with asyncio.TaskGroup() as group:
                for work in (watcher.run(), recorder.run(), loop.run()):
                    group.create_task(work)
        finally:
            for _ in range(watcher.tally.own_errors + loop.own_errors):
                replica.failed()


class _Recorder(LocalRecorder):
    """Tells when rotation changes."""

    def __init__(self, replica: Replica, clock: Clock, policy: FixedPolicy, directory: Path) -> None:
        super().__init__(
            clock.now,
            budget=lambda: policy.policy.watchdog.remediation.budget,
            modes=StatedModes(policy),
            journal_dir=directory,
        )
        self._replica = replica
        self._was_in = False

    def submit(self, cases: Sequence[Case], rotation: Rotation, precaution: Precaution | None = None) -> None:
        if rotation.in_rotation != self._was_in:
            self._was_in = rotation.in_rotation
            self._replica.did(Deed.ENTERED if self._was_in else Deed.LEFT, "", rotation.reason.value)
        super().submit(cases, rotation, precaution)


class _Restart:
    """A `RestartAction` whose command always succeeds. Orders are used up on the disk, as the real one does."""

    def __init__(self, replica: Replica, clock: Clock, directory: Path) -> None:
        self._replica = replica
        self._clock = clock
        self._directory = str(directory)

    def carry_out(self, order: Order) -> None:
        now = self._clock.now().timestamp()
        orders.give(self._directory, order.id, now)
        if not orders.honour(self._directory, now):
            self._replica.restart()

    def answer(self, order: Order) -> OrderAnswer:
        answered, refusal = orders.answer(self._directory)
        if answered != order.id:
            return OrderAnswer(state=OrderState.ABSENT)
        if refusal:
            return OrderAnswer(state=OrderState.REFUSED, message=refusal)
        return OrderAnswer(state=OrderState.HONOURED)

    def withdraw(self) -> None:
        """Nothing waits to be called back."""


class _Journal(Journal):
    """Its disk is always well, and of no interest here."""

    def write(self, replica: Memory) -> bool:
        del replica
        return True


def _tell(replica: Replica, before: Sequence[Case], after: Sequence[Case]) -> None:
    known = {case.name: case for case in before}
    for case in after:
        earlier = known.get(case.name)
        status = case.status
        if earlier is None:
            replica.did(Deed.OPENED, case.fault.value, status.reason.value)
        for step in status.steps[len(earlier.status.steps) if earlier else 0 :]:
            replica.did(Deed.STEP, case.fault.value, step.step.value)
        if case.closed and (earlier is None or not earlier.closed):
            replica.did(Deed.CLOSED, case.fault.value, str(status.outcome and status.outcome.value))


def _fast_disk() -> str | None:
    """Orders are written with fsync; in memory that costs nothing."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it
    return str(memory) if memory.is_dir() else None
