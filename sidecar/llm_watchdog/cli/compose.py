"""The composition root of both forms: everything is made and wired here. A form says only what differs."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.actions.abort import RequestAbort
from llm_watchdog.actions.drain import Drain
from llm_watchdog.actions.flush import CacheFlush
from llm_watchdog.actions.power import EnginePower
from llm_watchdog.actions.restart import RestartAction
from llm_watchdog.api.limits import limits
from llm_watchdog.clock import Clock
from llm_watchdog.core.observations import SocketsObservation
from llm_watchdog.core.records import changed
from llm_watchdog.core.replica import Replica
from llm_watchdog.core.situation import Identity
from llm_watchdog.crash_points import ENV_CRASH_AT, CrashPoints
from llm_watchdog.engines.registry import dialect_of
from llm_watchdog.journal import Journal
from llm_watchdog.loop import Loop, newest_time
from llm_watchdog.metrics import WatchdogCollector, exposition
from llm_watchdog.probes import sockets
from llm_watchdog.probes.engine_client import ENGINE_HOST, EngineClient
from llm_watchdog.probes.watch import Watcher
from llm_watchdog.recorder.seam import Recorder
from llm_watchdog.server import Application
from llm_watchdog.settings import PolicySource, Surroundings

if TYPE_CHECKING:
    from llm_watchdog.journal import Replay

Now = Callable[[], datetime]
Tell = Callable[[Replica, Replica], None]

JITTER_SECONDS: Final = 20.0
"""Spread of replicas that restart without a grant."""

log = logging.getLogger("llm_watchdog")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the watchdog of a pod and the one beside a server on a host do not share."""

    identity: Identity
    journal_dir: Path
    policy: PolicySource
    place: Surroundings
    api_key: Callable[[], str | None]
    recorder: Callable[[Now], Recorder]
    restart: Callable[[Now], RestartAction]
    tell: Callable[[Now], Tell]
    """Who is told of the transitions of incidents."""
    serve: Callable[[Application], Awaitable[None]]
    beat: Callable[[], None] = lambda: None
    """Told after each pass of the loop."""
    facts: Callable[[], dict[str, Any]] = field(default=dict)
    """Added to `/status`."""
    host: str = ENGINE_HOST
    look_at_sockets: Callable[[int, float], SocketsObservation] = sockets.look


def live(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run until it ends, with its exit code, or until SIGTERM or SIGINT, with 0."""
    # What was loaded stays for ever: kept out of collections, these become cheap, and therefore frequent enough to
    # return the buffers of closed TLS connections, which hang in cycles.
    gc.collect()
    gc.freeze()
    return asyncio.run(_until_stopped(work))


async def _until_stopped(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    task = asyncio.create_task(work())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        log.info("stopped")
        return 0


async def watch(form: Form) -> None:
    """Until cancelled."""
    journal = Journal(form.journal_dir)
    replay = journal.replay()
    clock = Clock(newest_time(replay.replica))
    watcher = Watcher(
        form.policy.policy,
        pod=form.identity.pod.name,
        clock=clock.monotonic,
        api_key=form.api_key,
        host=form.host,
        look_at_sockets=form.look_at_sockets,
    )
    watcher.window = changed(watcher.window, meter=replay.replica.meter, baseline=replay.replica.baseline)
    _greet(form.identity, replay, recognized=_recognize(watcher, replay))
    recorder = form.recorder(clock.now)
    engine = form.policy.policy.engine
    dialect = dialect_of(engine)
    client = EngineClient(engine.port, form.api_key, host=form.host, forbidden=dialect.forbidden)
    loop = Loop(
        identity=form.identity,
        replica=replay.replica,
        policy=form.policy,
        place=form.place,
        watcher=watcher,
        recorder=recorder,
        restart=form.restart(clock.now),
        flush=CacheFlush(client, dialect, aside=watcher.standing_aside, flushed=watcher.recheck),
        power=EnginePower(client, dialect, aside=watcher.standing_aside, wake_failed=watcher.note_wake_failed),
        abort=RequestAbort(client, dialect, watcher.unended, aside=watcher.standing_aside),
        journal=journal,
        clock=clock,
        crash_points=CrashPoints(os.environ.get(ENV_CRASH_AT), form.journal_dir),
        jitter=_jitter(form.identity.pod.uid),
        tell=form.tell(clock.now),
        beat=form.beat,
    )
    drain = Drain(loop, clock.monotonic)
    loop.drain = drain
    collector = WatchdogCollector(loop, watcher.tally, journal, loop.history)

    def facts() -> dict[str, Any]:
        return {
            "policyProblem": form.policy.problem,
            "journal": {"durable": journal.durable, "errors": journal.errors, "lastError": journal.last_error},
            "checks": watcher.checks(),
            "limits": [limit.message for limit in limits(form.policy.policy.engine, form.policy.policy.watchdog)],
            "canaries": {outcome.value: count for outcome, count in watcher.tally.canaries.items()},
            **form.facts(),
        }

    application = Application(
        loop,
        drain,
        metrics=lambda: exposition(collector),
        facts=facts,
        clock=clock.monotonic,
        drain_timeout=lambda: form.policy.policy.watchdog.remediation.drain_timeout,
    )
    async with asyncio.TaskGroup() as group:
        for work in (watcher.run(), recorder.run(), loop.run(), _served(form, application)):
            group.create_task(work)


async def _served(form: Form, application: Application) -> None:
    await form.serve(application)


def _recognize(watcher: Watcher, replay: Replay) -> bool:
    """The engine in which a canary passed before this process: if it still listens, silence is a fault.

    Another one has the time of a restart to come up; only one that never answered is left to Kubernetes.
    """
    known = replay.replica
    listener = known.engine.listener if known.cleared and known.engine is not None else None
    if listener and watcher.recognize(listener):
        return True
    if known.cleared or known.sequences:
        watcher.expect()
    return False


def _greet(who: Identity, replay: Replay, *, recognized: bool) -> None:
    known = "no journal" if not replay.found else f"{len(replay.replica.cases)} incidents in the journal"
    damaged = f", {replay.damaged_lines} damaged lines set aside" if replay.damaged_lines else ""
    engine = "the engine is the one known before" if recognized else "the engine is new"
    log.info("watching %s in %s: %s%s; %s", who.worker, who.pod.name, known, damaged, engine)


def read_key(path: Path | None) -> Callable[[], str | None]:
    """Read for each request: secrets rotate too."""

    def read() -> str | None:
        try:
            return path.read_text(encoding="utf-8").strip() or None if path else None
        except OSError:
            return None

    return read


def _jitter(uid: str) -> timedelta:
    """Of this pod, always the same, so that a crash does not draw again."""
    return timedelta(seconds=zlib.crc32(uid.encode()) / 0xFFFFFFFF * JITTER_SECONDS)
