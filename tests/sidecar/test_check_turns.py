"""A slow engine is checked too, and its canaries go on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx
import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType, Policy, WatchdogPolicy
from llm_watchdog.api.reasons import VerdictState
from llm_watchdog.core.observations import SocketsObservation
from llm_watchdog.probes.watch import Watcher
from tests.sidecar.engines.streams import STREAMS

pytestmark = pytest.mark.looptime
STREAM = STREAMS[EngineType.OLLAMA]


async def answer(request: httpx.Request) -> httpx.Response:
    if request.url.path != "/api/generate":
        return httpx.Response(200 if request.url.path == "/" else 404)
    await asyncio.sleep(3)
    content = httpx.ByteStream(b"".join(STREAM.good))
    return httpx.Response(200, headers={"content-type": STREAM.media_type}, stream=content)


async def test_canaries_that_take_longer_than_their_interval_leave_room_for_checks() -> None:
    watcher = Watcher(
        Policy(engine=EngineTarget(type=EngineType.OLLAMA, model="m"), watchdog=WatchdogPolicy()),
        pod="qwen-0",
        clock=asyncio.get_running_loop().time,
        transport=httpx.MockTransport(answer),
        look_at_sockets=lambda _port, at: SocketsObservation(at=at, readable=True, listeners=frozenset({7})),
    )
    task = asyncio.create_task(watcher.run())
    await asyncio.sleep(300)
    made = {check.kind for check in watcher.window.checks if check.conclusive}
    plain = [canary for canary in watcher.window.canaries if "check" not in canary.shape]
    verdict = watcher.verdict(asyncio.get_running_loop().time())
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert made
    assert len(plain) > 10
    assert verdict.state is VerdictState.HEALTHY
