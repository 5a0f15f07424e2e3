"""How often a port is asked that nobody listens on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx
import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType, Policy
from llm_watchdog.core.observations import SocketsObservation
from llm_watchdog.probes.watch import Watcher

pytestmark = pytest.mark.looptime
SECONDS = 60


@pytest.mark.parametrize("engine", list(EngineType))
async def test_a_loading_engine_is_not_asked_without_pause(engine: EngineType) -> None:
    asked = 0

    async def refuse(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.001)
        raise httpx.ConnectError("refused", request=request) from ConnectionRefusedError()

    watcher = Watcher(
        Policy(engine=EngineTarget(type=engine, model="tiny", path="/chat", text_field="query")),
        pod="qwen-0",
        clock=asyncio.get_running_loop().time,
        transport=httpx.MockTransport(refuse),
        look_at_sockets=lambda _port, at: SocketsObservation(at=at, readable=True),
    )
    task = asyncio.create_task(watcher.run())
    await asyncio.sleep(SECONDS)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert 0 < asked <= 5 * SECONDS
