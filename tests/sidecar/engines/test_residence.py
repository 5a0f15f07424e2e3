"""An engine that may not be asked is not asked, nor woken, nor held awake, and comes back by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from llm_watchdog.api.policy import CanaryPolicy, EngineTarget, EngineType, Policy, WatchdogPolicy
from llm_watchdog.api.reasons import FaultClass, UnknownReason, VerdictState
from llm_watchdog.api.thresholds import ChecksPolicy, Switch
from llm_watchdog.core.observations import (
    AnswerKind,
    SocketSample,
    SocketsObservation,
    StatusObservation,
    StatusReading,
)
from llm_watchdog.core.residence import may_be_called
from llm_watchdog.core.window import Window
from llm_watchdog.probes.watch import Watcher
from tests.sidecar.engines import pages
from tests.sidecar.engines.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from llm_watchdog.core.findings import Verdict

pytestmark = pytest.mark.looptime
FOR_EVER = "2318-09-20T03:47:16Z"
LONG_AGO = "2020-01-01T00:00:00Z"
SOON, TOMORROW = timedelta(minutes=5), timedelta(days=1)
GENERATES = {"/completion", "/generate", "/api/generate"}


def from_now(stay: timedelta) -> str:
    """Told when it is asked for: a run of all tests takes longer than a short stay."""
    return (datetime.now(UTC) + stay).isoformat()


class Engine:
    """Ollama, llama.cpp or SGLang; what it says of itself can be changed while it is watched."""

    def __init__(self, kind: EngineType) -> None:
        self.kind = kind
        self.asleep = False
        self.models: tuple[tuple[str, str], ...] = (("m:latest", FOR_EVER),)
        self.memory_saver = False
        self.paused = False
        self.silent: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.generating = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked[path] += 1
        self.generating += path in GENERATES
        try:
            while path in self.silent or (self.paused and path in GENERATES):
                await tick()
        finally:
            self.generating -= path in GENERATES
        if path == "/ready":
            return httpx.Response(503 if self.paused else 200)
        if path in GENERATES:
            self.asleep = False
            stream = STREAMS[self.kind]
            return httpx.Response(
                200, headers={"content-type": stream.media_type}, stream=httpx.ByteStream(b"".join(stream.good))
            )
        bodies = {
            "/api/ps": pages.ps(*self.models),
            "/props": pages.PROPS.replace(b"false", b"true") if self.asleep else pages.PROPS,
            "/slots": pages.slots(pages.slot(0, busy=False)),
            "/server_info": pages.server_info(enable_memory_saver=self.memory_saver),
            "/health": b"{}",
            "/ping": b"",
            "/": b"Ollama is running",
        }
        return httpx.Response(200, content=bodies[path]) if path in bodies else httpx.Response(404)

    @property
    def canaries(self) -> int:
        return sum(self.asked[path] for path in GENERATES)


@asynccontextmanager
async def watching(engine: Engine, users: Sequence[SocketSample] = ()) -> AsyncIterator[Watcher]:
    # Canaries are counted here, and nothing else.
    none = ChecksPolicy(fingerprint=Switch.OFF, cache=Switch.OFF, cross_talk=Switch.OFF, slots=Switch.OFF)
    policy = WatchdogPolicy(canary=CanaryPolicy(max_tokens=4), checks=none)
    watcher = Watcher(
        Policy(engine=EngineTarget(type=engine.kind, model="m"), watchdog=policy),
        pod="qwen-0",
        clock=asyncio.get_running_loop().time,
        transport=httpx.MockTransport(engine),
        look_at_sockets=lambda _port, at: SocketsObservation(
            at=at, readable=True, listeners=frozenset({7}), samples=tuple(users)
        ),
    )
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
        assert not task.done()
        assert watcher.tally.own_errors == 0
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def tick() -> None:
    await asyncio.sleep(0.1)


def verdict(watcher: Watcher) -> Verdict:
    return watcher.verdict(asyncio.get_running_loop().time())


@pytest.mark.parametrize("kind", [EngineType.OLLAMA, EngineType.LLAMACPP, EngineType.SGLANG])
async def test_a_healthy_engine_is_healthy_and_asked_gently(kind: EngineType) -> None:
    engine = Engine(kind)
    async with watching(engine) as watcher:
        await asyncio.sleep(60)
        assert verdict(watcher).state is VerdictState.HEALTHY
    assert 28 <= engine.canaries <= 31
    # Before each canary, and in rounds of their own.
    assert all(count <= 40 for path, count in engine.asked.items() if path in ("/api/ps", "/props", "/server_info"))
    assert engine.asked["/slots"] <= 7
    assert engine.asked["/v1/loads"] <= 2


async def test_an_ollama_without_its_model_is_left_alone_until_a_user_has_loaded_it() -> None:
    engine = Engine(EngineType.OLLAMA)
    engine.models = ()
    async with watching(engine) as watcher:
        await asyncio.sleep(60)
        assert engine.canaries == 0
        assert verdict(watcher).unknown is UnknownReason.UNLOADED
        engine.models = (("other:latest", FOR_EVER),)
        await asyncio.sleep(10)
        assert engine.canaries == 0
        engine.models = (("m:latest", FOR_EVER),)
        await asyncio.sleep(10)
        assert verdict(watcher).state is VerdictState.HEALTHY
        before = engine.canaries
        engine.models = ()
        await asyncio.sleep(60)
        assert engine.canaries == before
        assert verdict(watcher).unknown is UnknownReason.UNLOADED


async def test_a_model_that_was_unloaded_a_moment_ago_is_not_loaded_again_by_the_next_canary() -> None:
    """Status rounds are rarer than canaries, so the endpoint is asked before each canary too."""
    engine = Engine(EngineType.OLLAMA)
    async with watching(engine) as watcher:
        await asyncio.sleep(12.5)
        before = engine.canaries
        engine.models = ()
        await asyncio.sleep(6)
        assert engine.canaries == before
        assert verdict(watcher).unknown is UnknownReason.UNLOADED


async def test_a_model_that_is_being_unloaded_is_not_held() -> None:
    engine = Engine(EngineType.OLLAMA)
    async with watching(engine) as watcher:
        await asyncio.sleep(10)
        before = engine.canaries
        engine.models = (("m:latest", LONG_AGO),)
        await asyncio.sleep(30)
        assert engine.canaries == before
        readings = [seen.reading for seen in watcher.window.status if seen.reading is not None]
        assert readings[-1].leaving
        engine.models = (("m:latest", FOR_EVER),)
        await asyncio.sleep(5)
        assert engine.canaries > before


@pytest.mark.parametrize(
    ("stay", "rests"), [(SOON, True), (TOMORROW, False), (None, False)], ids=["soon", "tomorrow", "for ever"]
)
async def test_a_model_with_an_idle_time_out_is_left_alone_after_ten_minutes_without_users(
    stay: timedelta | None,
    *,
    rests: bool,
) -> None:
    engine = Engine(EngineType.OLLAMA)
    engine.models = (("m:latest", FOR_EVER if stay is None else from_now(stay)),)
    async with watching(engine) as watcher:
        await asyncio.sleep(590)
        assert engine.canaries >= 290
        await asyncio.sleep(100)
        before = engine.canaries
        await asyncio.sleep(200)
        assert (engine.canaries == before) is rests
        assert (verdict(watcher).unknown is UnknownReason.NO_CANARY) is rests
        assert verdict(watcher).findings == ()


async def test_who_is_left_alone_is_asked_again_as_soon_as_somebody_else_asks() -> None:
    engine = Engine(EngineType.OLLAMA)
    engine.models = (("m:latest", from_now(SOON)),)
    users: list[SocketSample] = []
    async with watching(engine, users) as watcher:
        await asyncio.sleep(700)
        before = engine.canaries
        users.append(SocketSample(peer="10.0.0.1:1", own=False, open=True, received=600, acked=0))
        engine.silent = {"/api/generate"}
        await asyncio.sleep(30)
        assert engine.canaries > before
        assert {finding.fault for finding in verdict(watcher).findings} == {FaultClass.STALLED_STREAM}


async def test_the_sleep_of_llamacpp_is_not_disturbed() -> None:
    engine = Engine(EngineType.LLAMACPP)
    engine.asleep = True
    async with watching(engine) as watcher:
        await asyncio.sleep(60)
        assert (engine.canaries, engine.asked["/slots"]) == (0, 0)
        assert 28 <= engine.asked["/props"] <= 34
        assert verdict(watcher).unknown is UnknownReason.UNLOADED
        engine.asleep = False
        await asyncio.sleep(20)
        assert verdict(watcher).state is VerdictState.HEALTHY
        assert engine.asked["/slots"] > 0


async def test_slots_are_not_asked_for_before_it_is_known_that_this_wakes_nobody() -> None:
    engine = Engine(EngineType.LLAMACPP)
    engine.silent = {"/props", "/completion"}
    async with watching(engine):
        await asyncio.sleep(30)
        assert engine.asked["/slots"] == 0


async def test_a_canary_on_its_way_is_taken_back_when_the_model_is_gone() -> None:
    engine = Engine(EngineType.OLLAMA)
    engine.silent = {"/api/generate"}
    async with watching(engine) as watcher:
        await asyncio.sleep(2)
        assert engine.generating == 1
        engine.models = ()
        await asyncio.sleep(10)
        assert engine.generating == 0
        assert verdict(watcher).unknown is UnknownReason.UNLOADED


async def test_after_a_reload_the_first_canary_is_a_cold_one() -> None:
    """A model that loads for minutes was answered by a warm one before: no deadline of a warm one holds."""
    engine = Engine(EngineType.OLLAMA)
    async with watching(engine) as watcher:
        await asyncio.sleep(10)
        engine.models = ()
        await asyncio.sleep(15)
        engine.models, engine.silent = (("m:latest", FOR_EVER),), {"/api/generate"}
        await asyncio.sleep(120)
        assert verdict(watcher).state is VerdictState.UNKNOWN
        engine.silent = set()
        await asyncio.sleep(10)
        assert verdict(watcher).state is VerdictState.HEALTHY


async def test_sglang_with_a_memory_saver_gets_no_canary() -> None:
    engine = Engine(EngineType.SGLANG)
    engine.memory_saver = True
    async with watching(engine) as watcher:
        await asyncio.sleep(30)
        assert engine.canaries == 0
        assert verdict(watcher).unknown is UnknownReason.NO_CANARY
        assert "memory-saver" in verdict(watcher).message


async def test_sglang_with_a_memory_saver_gets_canaries_while_it_is_awake_and_the_sleep_is_ours() -> None:
    engine = Engine(EngineType.SGLANG)
    engine.memory_saver = True
    async with watching(engine) as watcher:
        watcher.note_power(asleep=False, ours=True)
        await asyncio.sleep(30)
        assert verdict(watcher).state is VerdictState.HEALTHY
        watcher.note_power(asleep=True, ours=True)
        await asyncio.sleep(1)
        before = engine.canaries
        await asyncio.sleep(60)
        assert (engine.canaries, engine.generating) == (before, 0)
        watcher.reset("another process")
        watcher.note_power(asleep=False, ours=True)
        await asyncio.sleep(30)
        assert verdict(watcher).state is VerdictState.HEALTHY


async def test_a_paused_sglang_is_left_alone_and_comes_back() -> None:
    engine = Engine(EngineType.SGLANG)
    async with watching(engine) as watcher:
        await asyncio.sleep(10)
        engine.paused = True
        await asyncio.sleep(5)
        before = engine.canaries
        await asyncio.sleep(60)
        assert (engine.canaries, engine.generating) == (before, 0)
        assert verdict(watcher).unknown is UnknownReason.ASLEEP
        engine.paused = False
        await asyncio.sleep(10)
        assert verdict(watcher).state is VerdictState.HEALTHY


@pytest.mark.parametrize("not_ready", [False, True])
async def test_a_hang_of_the_scheduler_is_found_though_its_status_hangs_too(*, not_ready: bool) -> None:
    """Not ready is what a pause looks like too, but for the scheduler."""
    engine = Engine(EngineType.SGLANG)
    async with watching(engine) as watcher:
        await asyncio.sleep(10)
        engine.silent, engine.paused = {"/server_info", "/generate"}, not_ready
        began = asyncio.get_running_loop().time()
        while verdict(watcher).state is not VerdictState.SUSPECT:
            await tick()
        assert asyncio.get_running_loop().time() - began <= 8


def status(reading: StatusReading | None) -> StatusObservation:
    return StatusObservation(at=1, name="props", kind=AnswerKind.ANSWERED, reading=reading)


@pytest.mark.parametrize(
    ("window", "allowed"),
    [
        (Window(), False),
        (Window(status=(status(None),)), False),
        (Window(status=(status(StatusReading(slots=1)),)), True),
        (Window(status=(status(StatusReading(slots=1)),), unloaded=True), False),
        (Window(status=(status(StatusReading(slots=1)),), asleep_by_state=True), False),
    ],
)
def test_what_would_wake_is_called_only_where_somebody_is_awake(window: Window, *, allowed: bool) -> None:
    assert may_be_called(window, wakes=True) is allowed
    assert may_be_called(window, wakes=False)
