"""The active checks against the fault engine as a real process: its prefix cache, its counters, real sockets."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llm_watchdog.api.policy import EngineTarget, EngineType, Policy
from llm_watchdog.api.reasons import VerdictState
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.probes.watch import Watcher
from tests.fault_engine.process import EngineProcess, soon, streaming

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[tuple[EngineProcess, Watcher]]:
    engine = EngineProcess(folder, "--token-seconds", "0.001")
    port = urlsplit(engine.url).port or 0
    target = EngineTarget(type=EngineType.VLLM, model="tiny", port=port, concurrency=4)
    watcher = Watcher(Policy(engine=target), pod="qwen-0", clock=time.monotonic)
    watcher.note_rotation(in_rotation=False)
    task = asyncio.create_task(watcher.run())
    try:
        await soon(lambda: watcher.window.answered and not watcher.unchecked(time.monotonic()))
        yield engine, watcher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        engine.close()


def checks(watcher: Watcher) -> bool:
    """A stream of a check is under way."""
    newest = watcher.window.canaries[-1]
    return newest.finished_at is None and not newest.shape.endswith("/4")


async def test_a_healthy_engine_passes_and_is_left_as_it_was(tmp_path: Path) -> None:
    async with started(tmp_path) as (engine, watcher):
        made = {check.kind for check in watcher.window.checks if check.conclusive}
        assert made == set(CheckKind), watcher.checks()
        verdict = watcher.verdict(time.monotonic())
        assert (verdict.state, verdict.findings) == (VerdictState.HEALTHY, ())
        pairs = [check for check in watcher.window.checks if check.kind is CheckKind.CACHE_PAIR]
        hits = [[answer.hit for answer in check.answers if answer.arm == "Cached"] for check in pairs]
        assert hits == [[False, True], *([True] for _ in pairs[1:])]
        assert watcher.window.baseline.prompts
        assert watcher.window.baseline.key.startswith("vllm|0.")
        assert watcher.tally.own_errors == 0
        await soon(lambda: engine.metric("num_requests_running") == 0)


async def test_a_user_on_the_socket_disturbs_the_round(tmp_path: Path) -> None:
    async with started(tmp_path) as (engine, watcher):
        engine.order("slow", 0.3)
        watcher.recheck()
        await soon(lambda: checks(watcher))
        async with streaming(engine, max_tokens=200):
            await soon(lambda: any(check.disturbed for check in watcher.window.checks))
