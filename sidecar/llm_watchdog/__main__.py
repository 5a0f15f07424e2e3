"""`llm-watchdog run`: the composition root. Everything is made and wired here, and nowhere else."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.actions.drain import Drain
from llm_watchdog.actions.restart import InPlaceRestart
from llm_watchdog.clock import Clock
from llm_watchdog.crash_points import ENV_CRASH_AT, CrashPoints
from llm_watchdog.journal import Journal
from llm_watchdog.loop import Loop, newest_time
from llm_watchdog.metrics import WatchdogCollector, exposition
from llm_watchdog.probes.watch import Watcher
from llm_watchdog.recorder.kube import Kube, TokenFromFile, in_cluster_transport, in_cluster_url
from llm_watchdog.recorder.kubernetes import KubernetesRecorder
from llm_watchdog.recorder.local import LocalRecorder
from llm_watchdog.recorder.log import configure
from llm_watchdog.server import Application, server
from llm_watchdog.settings import PodInfo, PolicyFile, Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from llm_watchdog.journal import Replay
    from llm_watchdog.recorder.seam import Recorder

JITTER_SECONDS: Final = 20.0
"""Spread of replicas that restart without a grant."""

log = logging.getLogger("llm_watchdog")


def main() -> int:
    """Ends with SIGTERM, or with code 88 on a restart order."""
    settings = read_settings(sys.argv[1:], os.environ)
    configure()
    try:
        policy = PolicyFile(settings.policy_file)
    except (OSError, ValueError) as error:
        log.error("no policy in %s: %s", settings.policy_file, error)  # noqa: TRY400 - a sentence, not a trace
        return 1
    # What was loaded stays for ever: kept out of collections, these become cheap, and therefore frequent enough to
    # return the buffers of closed TLS connections, which hang in cycles.
    gc.collect()
    gc.freeze()
    asyncio.run(_run(settings, policy))
    return 0


async def _run(settings: Settings, policy: PolicyFile) -> None:
    work = asyncio.current_task()
    if work is None:
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        await _watch(settings, policy)
    except asyncio.CancelledError:
        log.info("stopped")


async def _watch(settings: Settings, policy: PolicyFile) -> None:
    journal = Journal(settings.journal_dir)
    replay = journal.replay()
    clock = Clock(newest_time(replay.replica))
    watcher = Watcher(
        policy.policy,
        pod=settings.identity.pod.name,
        clock=clock.monotonic,
        api_key=_api_key(settings.api_key_file),
    )
    watcher.remember(replay.replica.baseline)
    recognized = _recognize(watcher, replay)
    _greet(settings, replay, recognized=recognized)
    recorder = _recorder(settings, clock.now)
    loop = Loop(
        identity=settings.identity,
        replica=replay.replica,
        policy=policy,
        pod_info=PodInfo(settings.pod_info_dir),
        watcher=watcher,
        recorder=recorder,
        restart=InPlaceRestart(settings.journal_dir, settings.orders_dir, _leave),
        journal=journal,
        clock=clock,
        crash_points=CrashPoints(os.environ.get(ENV_CRASH_AT), settings.journal_dir),
        jitter=_jitter(settings.identity.pod.uid),
    )
    drain = Drain(loop, clock.monotonic)
    loop.drain = drain
    collector = WatchdogCollector(loop, watcher.tally, journal, loop.history)

    def facts() -> dict[str, Any]:
        return {
            "policyProblem": policy.problem,
            "journal": {"durable": journal.durable, "errors": journal.errors, "lastError": journal.last_error},
            "checks": watcher.checks(),
            "canaries": {outcome.value: count for outcome, count in watcher.tally.canaries.items()},
        }

    application = Application(
        loop,
        drain,
        metrics=lambda: exposition(collector),
        facts=facts,
        clock=clock.monotonic,
        drain_timeout=lambda: policy.policy.watchdog.remediation.drain_timeout,
    )
    async with asyncio.TaskGroup() as group:
        for work in (watcher.run, recorder.run, loop.run, server(application, settings.port).serve):
            group.create_task(work())


def _recorder(settings: Settings, now: Callable[[], datetime]) -> Recorder:
    if not settings.in_cluster:
        return LocalRecorder(now)
    kube = Kube(
        in_cluster_url(os.environ),
        auth=TokenFromFile(settings.token_dir / "token"),
        transport=in_cluster_transport(settings.token_dir / "ca.crt"),
        now=now,
    )
    return KubernetesRecorder(kube, settings.identity, now)


def _recognize(watcher: Watcher, replay: Replay) -> bool:
    """The engine in which a canary passed before this process: if it still listens, silence is a fault."""
    engine = replay.replica.engine
    if not replay.replica.cleared or engine is None or not engine.listener:
        return False
    return watcher.recognize(engine.listener)


def _greet(settings: Settings, replay: Replay, *, recognized: bool) -> None:
    known = "no journal" if not replay.found else f"{len(replay.replica.cases)} incidents in the journal"
    damaged = f", {replay.damaged_lines} damaged lines set aside" if replay.damaged_lines else ""
    engine = "the engine is the one known before" if recognized else "the engine is new"
    who = f"{settings.identity.worker} in pod {settings.identity.pod.name}"
    log.info("watching %s: %s%s; %s", who, known, damaged, engine)


def _api_key(path: Path) -> Callable[[], str | None]:
    """Read for each request: secrets rotate too."""

    def read() -> str | None:
        try:
            return path.read_text(encoding="utf-8").strip() or None
        except OSError:
            return None

    return read


def _jitter(uid: str) -> timedelta:
    """Of this pod, always the same, so that a crash does not draw again."""
    return timedelta(seconds=zlib.crc32(uid.encode()) / 0xFFFFFFFF * JITTER_SECONDS)


def _leave(code: int) -> None:
    """At once: the order is on the disk, and nothing else may happen in between."""
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
