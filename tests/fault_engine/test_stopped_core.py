"""SIGSTOP of the EngineCore: from outside everything is well, and no token comes."""

import signal
from collections.abc import Callable

import httpx
import pytest

from tests.fault_engine.process import EngineProcess, http, soon, streaming

SILENCE_SECONDS = 0.3  # of the default 20 ms for a token


async def test_a_stopped_core_looks_healthy_and_finishes_later(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine()
    async with streaming(engine, max_tokens=20) as running:
        await soon(lambda: running.tokens > 3)
        engine.signal_core(signal.SIGSTOP)
        async with streaming(engine, max_tokens=5) as fresh:
            await soon(lambda: fresh.status == 200)
            await soon(lambda: engine.load() == 2)
            assert http.get(f"{engine.url}/health").status_code == 200
            with pytest.raises(httpx.ReadTimeout):
                http.get(f"{engine.url}/is_sleeping", timeout=SILENCE_SECONDS)
            frozen = engine.metric("generation_tokens_total")
            heard = running.tokens
            with pytest.raises(httpx.ReadTimeout):
                http.post(f"{engine.url}/reset_prefix_cache", timeout=SILENCE_SECONDS)
            assert engine.metric("generation_tokens_total") == frozen
            assert engine.metric("num_requests_running") == 1
            assert engine.metric("num_requests_waiting") == 0
            assert (running.tokens, fresh.tokens) == (heard, 0)

            engine.signal_core(signal.SIGCONT)
            await soon(lambda: running.finished and fresh.finished)
    assert (running.tokens, fresh.tokens) == (20, 5)
    assert running.events[-1] == fresh.events[-1] == "[DONE]"


async def test_stopped_while_idle_only_load_shows_the_hung_request(engine: EngineProcess) -> None:
    engine.signal_core(signal.SIGSTOP)
    try:
        async with streaming(engine, max_tokens=2) as hung:
            await soon(lambda: engine.load() == 1)
            assert hung.events == []
            assert engine.metric("num_requests_running") == 0
            assert engine.metric("num_requests_waiting") == 0
        await soon(lambda: engine.load() == 0)
    finally:
        engine.signal_core(signal.SIGCONT)


async def test_sigterm_ends_a_server_whose_core_is_stopped(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine()
    engine.signal_core(signal.SIGSTOP)
    async with streaming(engine, max_tokens=5) as hung:
        await soon(lambda: engine.load() == 1)
        engine.process.terminate()
        await soon(lambda: hung.finished)
    assert hung.events[-1] == "[DONE]"
    assert engine.exit_code() == 0
