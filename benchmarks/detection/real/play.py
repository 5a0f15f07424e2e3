"""The same case in real time: fault engine and `llm-watchdog run` as processes, users over real sockets.

The product tells by what everybody sees of it: `/readyz`, its JSON lines, its restart command.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

from benchmarks.detection.ours import MODEL, policy_for
from benchmarks.detection.real.machine import RealMachine, Use, use_of
from benchmarks.detection.simulation.play import AFTERMATH_SECONDS
from benchmarks.detection.simulation.story import load_of, tell_story
from benchmarks.detection.simulation.users import Users
from benchmarks.detection.trace import Deed, Trace
from e2e.systems.watchdog import Supervisor, Watchdog, Watched

if TYPE_CHECKING:
    from benchmarks.detection.cases import Case

LOOK_SECONDS: Final = 0.2
MEASURED_SECONDS: Final = 5.0


@dataclass(slots=True)
class Played:
    trace: Trace = field(default_factory=Trace)
    uses: list[tuple[float, Use]] = field(default_factory=list)
    """Of the watchdog's process, at seconds since the start."""


async def play(case: Case, *, look_seconds: float = LOOK_SECONDS) -> Played:
    """From a fresh process to the cure, or to the case's end. Each look costs the watchdog an answer."""
    with tempfile.TemporaryDirectory(prefix="detection-real-") as folder:
        return await _Stage(case, Path(folder), look_seconds).run()


class _Stage:
    def __init__(self, case: Case, folder: Path, look_seconds: float) -> None:
        self._case = case
        self._look_seconds = look_seconds
        self._folder = folder
        self._played = Played()
        self._machine = RealMachine(case, folder)
        self._in_rotation = False
        self._lines = 0
        self._known: set[str] = set()
        self._restarted_at: float | None = None
        self._began = 0.0

    async def run(self) -> Played:
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        case, machine = self._case, self._machine
        supervisor = Supervisor(lambda: self._restart(loop))
        users = Users(machine.network, case.dialect, load_of(case), Random(case.name), lambda: self._in_rotation)  # noqa: S311
        machine.start()
        try:
            with supervisor, _watchdog(case, machine, self._folder, supervisor) as watchdog:
                works = [asyncio.ensure_future(work) for work in (users.run(), self._tell(users))]
                try:
                    await self._look(watchdog)
                finally:
                    for work in works:
                        work.cancel()
                    await asyncio.gather(*works, return_exceptions=True)
        finally:
            machine.stop()
        self._played.trace.ended = self._now()
        return self._played

    async def _tell(self, users: Users) -> None:
        ordered = self._case.startup_seconds + self._case.onset
        telling = asyncio.ensure_future(tell_story(self._case, self._machine, users))
        try:
            await asyncio.sleep(ordered)
            self._played.trace.onset = self._now()
            while self._case.story.value == "wake" and self._machine.woken_at is None:
                await asyncio.sleep(LOOK_SECONDS)
                self._played.trace.onset = self._now()
            await telling
        finally:
            telling.cancel()

    async def _look(self, watchdog: Watchdog) -> None:
        case = self._case
        end, measured = case.startup_seconds + case.onset + case.seconds, -MEASURED_SECONDS
        while self._now() < end and not self._is_cured():
            is_in = await asyncio.to_thread(watchdog.is_ready)
            if is_in != self._in_rotation:
                self._in_rotation = is_in
                self._played.trace.add(self._now(), Deed.ENTERED if is_in else Deed.LEFT)
            for line in watchdog.lines()[self._lines :]:
                self._lines += 1
                self._note(line)
            if self._now() - measured >= MEASURED_SECONDS:
                measured = self._now()
                self._played.uses.append((measured, use_of(watchdog.program.pid)))
            await asyncio.sleep(self._look_seconds)

    def _note(self, line: dict[str, Any]) -> None:
        if line["incident"] is not None and line["incident"] not in self._known:
            self._known.add(line["incident"])
            self._played.trace.add(self._now(), Deed.OPENED, line["fault"], line["reason"])

    def _restart(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of the restart command's."""
        self._machine.restart()
        self._restarted_at = loop.time() - self._began
        self._played.trace.add(self._restarted_at, Deed.RESTART)

    def _is_cured(self) -> bool:
        if self._restarted_at is None or self._case.entry.expected is None:
            return False
        return self._in_rotation or self._now() - self._restarted_at > self._case.startup_seconds + AFTERMATH_SECONDS

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._began


def _watchdog(case: Case, machine: RealMachine, folder: Path, supervisor: Supervisor) -> Watchdog:
    target = policy_for(case.dialect, case.slots).engine
    said = {
        "model": MODEL,
        "probe-cost": "Free",
        "concurrency": target.concurrency,
        "path": target.path,
        "text-field": target.text_field,
    }
    options = {name: str(value) for name, value in said.items() if value is not None}
    return Watchdog(Watched(port=machine.port, engine=case.dialect, options=options), folder, supervisor)
