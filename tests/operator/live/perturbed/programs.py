"""The watchdog as a process of its own, which dies as processes die; the engine beside it is a file."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.lab.forks import fork, load_beforehand
from llm_watchdog import loop as loop_module
from llm_watchdog.actions.restart import InPlaceRestart
from llm_watchdog.api.incident import PodRef
from llm_watchdog.clock import Clock
from llm_watchdog.core.situation import Identity
from llm_watchdog.crash_points import CrashPoints
from llm_watchdog.loop import Loop, newest_time
from llm_watchdog.recorder import incidents as incidents_module
from llm_watchdog.recorder import kube as kube_module
from llm_watchdog.recorder import pod as pod_module
from llm_watchdog.recorder.kube import Kube, TokenFromFile
from llm_watchdog.recorder.kubernetes import KubernetesRecorder
from llm_watchdog.recorder.log import configure, tell
from llm_watchdog.settings import PodInfo, PolicyFile
from llm_watchdog.transport import StreamTransport
from tests.operator.live.perturbed.deaths import Deaths, MortalJournal, MortalTransport
from tests.sidecar.hanging import Never, Watcher

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

load_beforehand(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Of one watchdog: a directory with its journal, policy, token and pod info, and with the engine's state."""

    directory: Path
    server: str
    namespace: str
    pod: str
    uid: str
    dies: str = "never"
    """`before` or `after` each write, once."""


class EngineFile:
    """An engine's state for several processes: how often it was started, and since when it hangs."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "engine"

    def write(self, run: int, hung_at: float | None) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_text(f"{run} {hung_at or ''}")
        temporary.rename(self._path)

    @property
    def run(self) -> int:
        return int(self._path.read_text().split()[0])

    @property
    def hung_at(self) -> float | None:
        _, _, hung_at = self._path.read_text().partition(" ")
        return float(hung_at) if hung_at else None


def start_watchdog(place: Place) -> BaseProcess:
    return fork(place.directory / "log", _watchdog, place)


def _watchdog(place: Place) -> None:
    configure(sys.stdout)
    loop_module.TICK_SECONDS, loop_module.APART_SECONDS = 0.05, 0.01  # type: ignore[misc]
    pod_module.ALERT_SECONDS = 0.2  # type: ignore[misc]
    incidents_module.LOOK_AGAIN_SECONDS = 1.0  # type: ignore[misc]
    kube_module.RETRY_FIRST_SECONDS = 0.1  # type: ignore[misc]
    with suppress(KeyboardInterrupt):
        asyncio.run(_live(place))


async def _live(place: Place) -> None:
    """As `cli.compose` does it, but for the looking half."""
    deaths = Deaths(place.directory / "deaths", place.dies)
    journal = MortalJournal(place.directory, deaths)
    replay = journal.replay()
    clock = Clock(newest_time(replay.replica))
    who = Identity(worker="qwen", namespace=place.namespace, pod=PodRef(name=place.pod, uid=place.uid, node="new-node"))
    token = TokenFromFile(place.directory / "token")
    transport = MortalTransport(StreamTransport(), deaths)
    recorder = KubernetesRecorder(Kube(place.server, auth=token, transport=transport, now=clock.now), who, clock.now)
    never: Any = Never()
    loop = Loop(
        identity=who,
        replica=replay.replica,
        policy=PolicyFile(place.directory / "policy.json"),
        place=PodInfo(place.directory),
        watcher=Watcher(EngineFile(place.directory)),
        recorder=recorder,
        restart=InPlaceRestart(place.directory, place.directory, deaths.leaving(_leave)),
        flush=never,
        power=never,
        abort=never,
        journal=journal,
        clock=clock,
        crash_points=CrashPoints(None, place.directory),
        jitter=timedelta(),
        tell=tell,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.run())
        group.create_task(loop.run())


def _leave(code: int) -> None:
    logging.shutdown()
    os._exit(code)
