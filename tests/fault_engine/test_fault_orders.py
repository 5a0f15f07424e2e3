"""Faults set and lifted at run time, each by what it does on the wire; and the control port itself."""

import json
import time
from collections.abc import Callable

import httpx
import pytest

from tests.fault_engine.process import EngineProcess, complete, eventually, http, soon, streaming

LONG = 900
SILENCE_SECONDS = 0.2


def answers(engine: EngineProcess) -> bool:
    """Does the EngineCore answer between two steps?"""
    try:
        return http.get(f"{engine.url}/is_sleeping", timeout=SILENCE_SECONDS).status_code == 200
    except httpx.ReadTimeout:
        return False


async def test_hang_silences_all_until_it_is_lifted(engine: EngineProcess) -> None:
    engine.order("hang")
    async with streaming(engine, max_tokens=3) as hung:
        await soon(lambda: engine.load() == 1)
        assert http.get(f"{engine.url}/health").status_code == 200
        assert not answers(engine)
        assert (hung.status, hung.events) == (200, [])
        engine.lift()
        await soon(lambda: hung.finished)
    assert hung.tokens == 3


async def test_stall_after_lets_so_many_tokens_out(engine: EngineProcess) -> None:
    engine.order("stall-after", 4)
    assert complete(engine, max_tokens=4).status_code == 200
    async with streaming(engine, max_tokens=10) as stalled:
        await soon(lambda: stalled.tokens == 4)
        assert complete(engine, max_tokens=2).status_code == 200  # others go on
        assert (stalled.tokens, engine.metric("num_requests_running")) == (4, 1)
        engine.lift()
        await soon(lambda: stalled.finished)
    assert stalled.tokens == 10


async def test_admission_stall_leaves_requests_waiting_beside_free_slots(engine: EngineProcess) -> None:
    engine.order("admission-stall")
    async with streaming(engine, max_tokens=3) as waiting:
        await soon(lambda: engine.metric("num_requests_waiting") == 1)
        assert engine.metric("num_requests_running") == 0
        assert engine.metric("kv_cache_usage_perc") == 0
        assert engine.metric('num_requests_waiting_by_reason{reason="deferred"}') == 1
        assert answers(engine)
        engine.lift()
        await soon(lambda: waiting.finished)
    assert waiting.tokens == 3


async def test_api_server_freeze_blocks_every_answer(engine: EngineProcess) -> None:
    engine.order("api-server-freeze")
    with pytest.raises(httpx.ReadTimeout):
        http.get(f"{engine.url}/health", timeout=SILENCE_SECONDS)
    engine.lift()
    assert http.get(f"{engine.url}/health").status_code == 200


async def test_slow_and_its_lifting_take_effect_in_the_running_step(engine: EngineProcess) -> None:
    async with streaming(engine, max_tokens=LONG) as stream:
        await soon(lambda: stream.tokens > 0)
        engine.order("slow", 3600)
        await soon(lambda: not answers(engine))  # the step is an hour long, and the core deaf in it
        heard = stream.tokens
        engine.lift()
        await soon(lambda: stream.tokens > heard)


async def test_jit_stall_holds_up_one_request_once(engine: EngineProcess) -> None:
    await soon(lambda: engine.metric("num_requests_running") == 0)
    engine.order("jit-stall", 3600)
    async with streaming(engine, prompt="the sea " * 100, max_tokens=2) as first:
        await soon(lambda: not answers(engine))
        assert engine.metric("num_requests_running") == 0  # nothing was pushed yet
        engine.lift()
        await soon(lambda: first.finished)
    engine.order("jit-stall", 0.1)
    assert complete(engine, prompt="the sea " * 200, max_tokens=2).status_code == 200
    before = engine.metric("generation_tokens_total")
    assert complete(engine, max_tokens=2).status_code == 200
    assert engine.metric("generation_tokens_total") == before + 2


def test_slow_health_delays_health_alone(engine: EngineProcess) -> None:
    engine.order("slow-health", 0.3)
    began = time.monotonic()
    assert http.get(f"{engine.url}/health").status_code == 200
    assert time.monotonic() - began >= 0.3
    assert http.get(f"{engine.url}/version", timeout=0.25).status_code == 200


def test_queue_full_turns_generations_away(engine: EngineProcess) -> None:
    rejected = 'admission_rejections_total{reason="max_num_queued_reqs"'
    before = engine.metric(rejected)
    engine.order("queue-full", 429)
    assert complete(engine).status_code == 429
    engine.order("queue-full")
    refused = complete(engine)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, 503)
    assert http.get(f"{engine.url}/health").status_code == 200
    assert engine.metric(rejected) == before + 2
    engine.lift()
    assert complete(engine).status_code == 200


async def test_die_ends_core_and_server(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine()
    engine.order("die")
    assert engine.exit_code() == 0


async def test_die_keepalive_leaves_the_server(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine()
    engine.order("die-keepalive")
    await soon(lambda: http.get(f"{engine.url}/health").status_code == 503)
    assert complete(engine).status_code == 500


def test_slow_start_refuses_the_port_until_it_is_over(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--fault", "slow-start=3600", serving=False)
    active = http.get(f"{engine.control_url}/faults").json()["active"]
    assert active == [{"name": "slow-start", "arg": "3600"}]
    assert engine.events("serving") == []
    engine.lift()
    engine.wait_serving()
    assert http.get(f"{engine.url}/health").status_code == 200


def test_the_control_port_knows_all_faults_and_refuses_others(engine: EngineProcess) -> None:
    faults = f"{engine.control_url}/faults"
    engine.order("slow", 0.2)
    engine.order("hang")
    engine.order("slow", 0.3)
    document = http.get(faults).json()
    assert document["active"] == [{"name": "hang", "arg": None}, {"name": "slow", "arg": "0.3"}]
    assert len(document["known"]) >= 11
    for order in ('{"name": "hangs"}', '{"name": "slow"}', '{"name": "slow", "arg": "fast"}', "[]", "{"):
        assert http.put(faults, content=order).status_code == 400
    assert http.delete(f"{faults}/hang").json()["active"] == [{"name": "slow", "arg": "0.3"}]
    assert http.delete(faults).json()["active"] == []
    assert http.get(f"{engine.control_url}/other").status_code == 404


def test_metrics_freeze_in_a_hang(engine: EngineProcess) -> None:
    engine.order("hang")
    eventually(lambda: json.loads(http.get(f"{engine.control_url}/faults").text)["active"] != [])
    before = engine.metric("generation_tokens_total")
    with pytest.raises(httpx.ReadTimeout):
        http.post(f"{engine.url}/v1/completions", json={"prompt": "x"}, timeout=SILENCE_SECONDS)
    assert engine.metric("generation_tokens_total") == before
