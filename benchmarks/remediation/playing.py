"""One scenario: an operator of its own, all faults at once, until everything that may happen has happened."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.detection.bounds import quantile
from benchmarks.remediation.client import ApiError, Client
from benchmarks.remediation.ending import unlike, wrong_ends
from benchmarks.remediation.fleet import Fleet, together
from benchmarks.remediation.judging import judge
from benchmarks.remediation.observer import observing
from benchmarks.remediation.process import operator
from benchmarks.remediation.results import Cost, Machine, Scenario
from benchmarks.remediation.watchdog import INCIDENTS, Times, Views, Watchdog
from benchmarks.remediation.watched import read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.remediation.observer import Observer
    from benchmarks.remediation.plan import WorkerPlan
    from benchmarks.remediation.process import Operator

LOOK_SECONDS: Final = 3.0
STILL_SECONDS: Final = 40.0
"""Longer than a grant lives. So long the record must stand still before it is believed to be at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all scenarios share."""

    kubeconfig: Path
    """The administrator's."""
    operators: Path
    """The operator's."""
    folder: Path
    admin: Client
    own: Client
    """For the watchdogs: requests with tokens."""
    fleet: Fleet
    times: Times
    limit_seconds: float
    say: Callable[[str], None]


async def play(ground: Ground, plans: Sequence[WorkerPlan], share: float) -> Scenario:
    """Raises WatchBrokenError, OperatorError, ApiError."""
    name = f"{share:.0%}"
    faulty = [(plan, number) for plan in plans for number in plan.faulty]
    out = ground.folder / f"watch-{share}.txt"
    with operator(ground.operators, ground.folder / f"operator-{share}.log") as running:
        start = await running.seconds_to_first_relist()
        before = await running.at_rest()
        usage, load = running.usage(), os.getloadavg()[0]
        pods = [ground.fleet.pods[*plan.key, number] for plan, number in faulty]
        held = await together(ground.fleet.with_token(pod) for pod in pods)
        ground.say(f"{name}: started in {start:.1f} s; {len(faulty)} of {sum(p.replicas for p in plans)} replicas fail")
        ground.own.writes.clear()
        with observing(ground.kubeconfig, out) as observer:
            async with _views(ground.admin) as views:
                watchdogs = [
                    (plan, Watchdog(own=ground.own, kubelet=ground.admin, views=views, worker=plan.name, pod=pod))
                    for (plan, _), pod in zip(faulty, held, strict=True)
                ]
                async with _all_of(watchdogs, ground.times) as tasks:
                    problems = await _until_still(ground, observer, running, tasks)
            record = read(observer.lines())
        after, spent = await running.at_rest(), running.usage()
    judged = judge(record, plans)
    conditions = await ground.fleet.held()
    problems += wrong_ends(plans, record, conditions) + unlike(after.granted - before.granted, len(judged.waited))
    await ground.fleet.reset(pods)
    return Scenario(
        share=share,
        workers=len(plans),
        replicas=sum(plan.replicas for plan in plans),
        judged=judged,
        cost=Cost(
            start_seconds=start,
            cpu_at_start=usage.cpu_seconds,
            cpu_seconds=spent.cpu_seconds - usage.cpu_seconds,
            starved_seconds=spent.starved_seconds - usage.starved_seconds,
            over_seconds=judged.seconds,
            rss_at_rest_mib=usage.rss_mib,
            peak_mib=spent.peak_mib,
            writes=after.writes - before.writes,
            failed_passes=after.failed_passes - before.failed_passes,
            unexpected_errors=after.unexpected_errors,
        ),
        machine=Machine(
            cores=os.cpu_count() or 1,
            nice=os.nice(0),
            load_before=load,
            load_after=os.getloadavg()[0],
            client_p50=quantile(ground.own.writes, 0.5),
            client_p99=quantile(ground.own.writes, 0.99),
        ),
        problems=tuple(problems),
    )


async def _until_still(
    ground: Ground,
    observer: Observer,
    running: Operator,
    tasks: Sequence[asyncio.Task[None]],
) -> list[str]:
    """Nothing changes any more, also nothing that should not: what is held is watched for a while."""
    begin = time.monotonic()
    changes, since = 0, begin
    while time.monotonic() - begin < ground.limit_seconds:
        await asyncio.sleep(LOOK_SECONDS)
        for task in tasks:
            if task.done():
                task.result()
        now = observer.changes()
        if now != changes:
            changes, since = now, time.monotonic()
        counts = await running.counts()
        ended = sum(task.done() for task in tasks)
        ground.say(
            f"{time.monotonic() - begin:5.0f} s: {now} changes, {ended} of {len(tasks)} incidents ended,"
            f" {counts.granted if counts else '?'} grants, load {os.getloadavg()[0]:.1f}"
        )
        all_ended = ended == len(tasks)
        if time.monotonic() - since > (LOOK_SECONDS if all_ended else STILL_SECONDS):
            return []
    return [f"not at its end after {ground.limit_seconds:.0f} s"]


@asynccontextmanager
async def _views(admin: Client) -> AsyncIterator[Views]:
    version = (await admin.ask("GET", INCIDENTS, params={"limit": "1"}))["metadata"]["resourceVersion"]
    views = Views()
    task = asyncio.create_task(views.follow(admin, version))
    try:
        yield views
        if task.done():
            raise ApiError(0, "the watch of the watchdogs ended") from task.exception()
    finally:
        task.cancel()


@asynccontextmanager
async def _all_of(
    watchdogs: Sequence[tuple[WorkerPlan, Watchdog]], times: Times
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """At once; ended with those that wait for ever."""
    tasks = [asyncio.create_task(watchdog.run(times, is_cured=plan.is_cured)) for plan, watchdog in watchdogs]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
