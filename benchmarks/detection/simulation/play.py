"""One case with one rule beside it, on a clock of its own."""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from benchmarks.detection.cases import Story
from benchmarks.detection.rule import Replica
from benchmarks.detection.simulation import virtual_time
from benchmarks.detection.simulation.machine import Machine
from benchmarks.detection.simulation.story import load_of, settings_of, tell_story
from benchmarks.detection.simulation.users import Users
from benchmarks.detection.trace import Deed, Trace
from e2e.fault_engine import access_log
from llm_watchdog.probes.engine_client import OWN_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.detection.cases import Case
    from benchmarks.detection.rule import Entrant

LOOK_SECONDS: Final = 1.0
"""How often the run looks whether it is over."""
AFTERMATH_SECONDS: Final = 90.0
"""Goes on for so long after a restart: does the replica come back?"""


def play(case: Case, entrant: Entrant) -> Trace:
    """From a fresh container to the cure, or to the case's end. In a process without an event loop of its own."""
    trace = Trace()
    stage = _Stage(case, entrant, trace)
    with patch.object(access_log, "write_event", partial(_count, trace)):
        virtual_time.run(stage.run, f"{case.name}/{entrant.name}")
    return trace


class _Stage:
    def __init__(self, case: Case, entrant: Entrant, trace: Trace) -> None:
        self._case = case
        self._entrant = entrant
        self._trace = trace
        self._in_rotation = not entrant.watches_rotation
        self._restarted_at: float | None = None

    async def run(self) -> None:
        case = self._case
        machine = Machine(settings_of(case), case.startup_seconds)
        users = Users(machine.network, case.dialect, load_of(case), Random(case.name), lambda: self._in_rotation)  # noqa: S311
        rule = self._entrant.make()
        replica = Replica(
            network=machine.network,
            dialect=case.dialect,
            slots=case.slots,
            did=self._did,
            restart=partial(self._restart, machine),
            starts=lambda: machine.starts,
            running=lambda: machine.running,
            failed=self._failed,
        )
        machine.start()
        works = (users.run(), rule.watch(replica), tell_story(case, machine, users))
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            await self._until_over(machine, tasks)
        finally:
            self._trace.ended = self._now()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await machine.stop()

    async def _until_over(self, machine: Machine, tasks: Sequence[asyncio.Future[None]]) -> None:
        end = self._case.startup_seconds + self._case.onset + self._case.seconds
        while self._now() < end:
            await asyncio.sleep(LOOK_SECONDS)
            if self._trace.onset is None:
                self._trace.onset = self._onset(machine)
            if self._is_cured():
                return
            for mistake in machine.network.mistakes:
                raise mistake
            for task in tasks:
                if task.done():
                    task.result()

    def _onset(self, machine: Machine) -> float | None:
        """Of a fault that comes with a wake: not before it."""
        begun = machine.board.active.begun_at(self._case.fault)
        if begun is None or self._case.story is not Story.WAKE:
            return begun
        return None if machine.woken_at is None else max(begun, machine.woken_at)

    def _is_cured(self) -> bool:
        """A restart by the rule, and some time to come back from it. Healthy cases are played to their end."""
        if self._restarted_at is None or self._case.entry.expected is None:
            return False
        back = any(event.deed is Deed.ENTERED and event.at > self._restarted_at for event in self._trace.events)
        return back or self._now() - self._restarted_at > self._case.startup_seconds + AFTERMATH_SECONDS

    def _did(self, deed: Deed, fault: str = "", reason: str = "") -> None:
        self._trace.add(self._now(), deed, fault, reason)
        if deed in (Deed.ENTERED, Deed.LEFT):
            self._in_rotation = deed is Deed.ENTERED

    def _restart(self, machine: Machine) -> None:
        self._trace.add(self._now(), Deed.RESTART)
        self._restarted_at = self._now()
        machine.restart()

    def _failed(self) -> None:
        self._trace.own_errors += 1

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _count(trace: Trace, event: str, **said: Any) -> None:
    """Instead of a line in the fault engine's log."""
    if event != "finished":
        return
    own = said["remote"].startswith(OWN_ADDRESS)
    if not own:
        trace.cost.user_tokens += said["tokens"]
        return
    trace.cost.requests += 1
    trace.cost.generations += said["request_id"] is not None
    trace.cost.tokens += said["tokens"]
