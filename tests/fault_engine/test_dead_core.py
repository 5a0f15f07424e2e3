"""SIGKILL of the EngineCore, with and without VLLM_KEEP_ALIVE_ON_ENGINE_DEATH, and SIGTERM of the server."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path

from tests.fault_engine.process import EngineProcess, complete, http, soon, streaming
from tests.fault_engine.recording import FOLDER, events

DEATH_EVENTS = events((FOLDER / "stream_engine_death.sse").read_text())
LONG = 4000


async def test_a_killed_core_takes_the_server_with_it(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine()
    async with streaming(engine, max_tokens=LONG) as stream:
        whole = asyncio.create_task(asyncio.to_thread(complete, engine, max_tokens=LONG, ignore_eos=True))
        await soon(lambda: stream.tokens > 0 and engine.metric("num_requests_running") == 2)
        engine.signal_core(signal.SIGKILL)
        await soon(lambda: stream.finished)
        response = await whole
    assert stream.status == 200
    assert stream.events[-2:] == DEATH_EVENTS
    assert response.status_code == 500
    assert response.json() == json.loads(DEATH_EVENTS[0])
    assert engine.exit_code() == 0


async def test_kept_alive_the_server_answers_without_a_core(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine(VLLM_KEEP_ALIVE_ON_ENGINE_DEATH="1")
    async with streaming(engine, max_tokens=LONG) as stream:
        await soon(lambda: stream.tokens > 0)
        engine.signal_core(signal.SIGKILL)
        await soon(lambda: stream.finished)
    assert stream.events[-2:] == DEATH_EVENTS
    statuses = {
        path: http.get(engine.url + path).status_code
        for path in ("/health", "/metrics", "/v1/models", "/load", "/version", "/is_sleeping", "/is_paused")
    }
    assert statuses == {
        "/health": 503,
        "/metrics": 200,
        "/v1/models": 200,
        "/load": 200,
        "/version": 200,
        "/is_sleeping": 500,
        "/is_paused": 500,
    }
    assert engine.metric("num_requests_running") == 1
    response = complete(engine)
    assert (response.status_code, response.json()) == (500, json.loads(DEATH_EVENTS[0]))
    engine.process.terminate()
    assert engine.exit_code() == 0


async def test_sigterm_ends_streams_properly(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine()
    async with streaming(engine, max_tokens=LONG) as stream:
        await soon(lambda: stream.tokens > 0)
        engine.process.terminate()
        await soon(lambda: stream.finished)
    assert stream.events[-1] == "[DONE]"
    assert json.loads(stream.events[-2])["choices"][0]["finish_reason"] == "abort"
    assert engine.exit_code() == 0


async def test_a_core_ends_with_its_server(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine()
    engine.process.kill()
    engine.process.wait()

    def ended() -> bool:
        status = Path(f"/proc/{engine.core_pid}/status")
        return not status.exists() or "State:\tZ" in status.read_text()

    await soon(ended)
