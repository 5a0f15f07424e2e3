"""Asleep and paused: healthy to look at, silent by intention, and nothing is lost that waited."""

import asyncio
import json

import pytest

from tests.fault_engine.process import EngineProcess, http, soon, streaming
from tests.fault_engine.recording import FOLDER, events, shape

LONG = 900


def post(engine: EngineProcess, call: str) -> None:
    http.post(engine.url + call).raise_for_status()


@pytest.mark.parametrize(("to_sleep", "to_wake"), [("/sleep?level=1", "/wake_up"), ("/pause", "/resume")])
async def test_requests_wait_unseen_until_the_engine_goes_on(
    engine: EngineProcess, to_sleep: str, to_wake: str
) -> None:
    post(engine, to_sleep)
    async with streaming(engine, max_tokens=3) as held:
        await soon(lambda: engine.load() == 1)
        assert http.get(f"{engine.url}/health").status_code == 200
        assert http.get(f"{engine.url}/is_sleeping").json() == {"is_sleeping": True}
        assert engine.metric("num_requests_running") == 0
        assert engine.metric("num_requests_waiting") == 0
        assert held.events == []
        post(engine, to_wake)
        await soon(lambda: held.finished)
    assert held.tokens == 3
    assert http.get(f"{engine.url}/is_sleeping").json() == {"is_sleeping": False}


async def test_pause_ends_what_runs_as_recorded(engine: EngineProcess) -> None:
    aborted = engine.metric('request_success_total{finished_reason="abort"}')
    async with streaming(engine, max_tokens=LONG, return_token_ids=None) as stream:
        await soon(lambda: bool(stream.events))
        post(engine, "/pause")
        await soon(lambda: stream.finished)
    post(engine, "/resume")
    recorded = events((FOLDER / "stream_abort_by_pause.sse").read_text())
    assert shape(json.loads(stream.events[-2])) == shape(json.loads(recorded[0]))
    assert json.loads(stream.events[-2])["choices"][0]["finish_reason"] == "abort"
    assert engine.metric('request_success_total{finished_reason="abort"}') == aborted + 1


async def test_pause_keep_freezes_what_runs(engine: EngineProcess) -> None:
    async with streaming(engine, max_tokens=20) as stream:
        await soon(lambda: stream.tokens > 2)
        post(engine, "/pause?mode=keep")
        assert engine.metric("num_requests_running") == 1
        assert not stream.finished
        post(engine, "/resume")
        await soon(lambda: stream.finished)
    assert stream.tokens == 20


async def test_pause_wait_returns_when_all_have_ended(engine: EngineProcess) -> None:
    async with streaming(engine, max_tokens=10) as stream:
        await soon(lambda: stream.tokens > 0)
        await asyncio.to_thread(post, engine, "/pause?mode=wait")
        assert engine.metric("num_requests_running") == 0
        await soon(lambda: stream.finished)
        post(engine, "/resume")
    assert stream.tokens == 10


def test_sleep_states_show_on_the_metrics_page(engine: EngineProcess) -> None:
    def states() -> list[float]:
        names = ("awake", "weights_offloaded", "discard_all")
        return [engine.metric(f'engine_sleep_state{{sleep_state="{name}"') for name in names]

    assert states() == [1, 0, 0]
    for level, shown in (("0", [0, 0, 0]), ("1", [0, 1, 0]), ("2", [0, 0, 1])):
        post(engine, f"/sleep?level={level}")
        assert states() == shown
    post(engine, "/wake_up")
    assert states() == [1, 0, 0]


def test_a_partial_wake_leaves_the_engine_asleep(engine: EngineProcess) -> None:
    post(engine, "/sleep?level=1")
    half = http.post(f"{engine.url}/wake_up?tags=weights")
    assert half.json() == {"status": "sleeping", "tags": ["weights"]}
    assert http.get(f"{engine.url}/is_sleeping").json() == {"is_sleeping": True}
    whole = http.post(f"{engine.url}/wake_up?tags=kv_cache")
    assert whole.json() == {"status": "awake", "tags": ["kv_cache"]}


async def test_abort_requests_ends_them_all(engine: EngineProcess) -> None:
    async with streaming(engine, max_tokens=LONG) as stream:
        await soon(lambda: stream.tokens > 0)
        assert http.post(f"{engine.url}/abort_requests", json={}).json() == {"status": "aborted", "aborted": 1}
        await soon(lambda: stream.finished)
    assert json.loads(stream.events[-2])["choices"][0]["finish_reason"] == "abort"
    await soon(lambda: engine.metric("num_requests_running") == 0)
