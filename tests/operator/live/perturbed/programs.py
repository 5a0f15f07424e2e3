"""The two programs as processes of their own, which die as processes die.

Forked from a server that has loaded their modules: a life costs a tenth of a start, and the tests take many.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llmworker_operator.__main__
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
    from collections.abc import Mapping
    from multiprocessing.process import BaseProcess

FORKS = multiprocessing.get_context("forkserver")
# The children look at the main module, which is pytest's.
FORKS.set_forkserver_preload(["pytest", __name__])


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
    process = FORKS.Process(target=_watchdog, args=(place,), daemon=True)
    process.start()
    return process


def start_operator(environment: Mapping[str, str], log: Path) -> BaseProcess:
    process = FORKS.Process(target=_operator, args=(dict(environment), log), daemon=True)
    process.start()
    return process


def _operator(environment: dict[str, str], log: Path) -> None:
    _into(log)
    os.environ.update(environment)
    llmworker_operator.__main__.main()


def _into(log: Path) -> None:
    """Both streams, as a container's."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(descriptor, stream)


def _watchdog(place: Place) -> None:
    _into(place.directory / "log")
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
