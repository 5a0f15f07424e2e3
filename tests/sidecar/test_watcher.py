"""The watcher against an engine behind a mock transport, on a clock that does not wait."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest

from llm_watchdog.api.policy import CanaryPolicy, EngineTarget, EngineType, Policy, ProbeCost, WatchdogPolicy
from llm_watchdog.api.reasons import UnknownReason, VerdictState
from llm_watchdog.api.thresholds import ChecksPolicy, Switch
from llm_watchdog.core.canaries import CanaryOutcome
from llm_watchdog.core.observations import SocketSample, SocketsObservation
from llm_watchdog.probes.watch import Watcher
from tests.sidecar.recorded import answer, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.looptime
COMPLETIONS = "/v1/completions"
NO_CHECKS = ChecksPolicy(fingerprint=Switch.OFF, cache=Switch.OFF, cross_talk=Switch.OFF, slots=Switch.OFF)
WATCHDOG = WatchdogPolicy(canary=CanaryPolicy(max_tokens=8), checks=NO_CHECKS)
"""As many as the recorded answers hold. Checks have tests of their own."""


@dataclass
class FakeEngine:
    """A vLLM whose ways can be changed while it is watched."""

    silent: bool = False
    asleep: bool = False
    dev_mode: bool = True
    models: tuple[str, ...] = ("tiny",)
    broken: Exception | None = None
    missing: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    listeners: frozenset[int] = frozenset({7})
    connections: tuple[SocketSample, ...] = ()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.calls.append(path)
        if self.broken is not None:
            raise self.broken
        if path in self.missing:
            return httpx.Response(404, json={"detail": "Not Found"})
        if path in (COMPLETIONS, "/v1/chat/completions"):
            return await self._generate(path)
        if path in ("/is_sleeping", "/is_paused"):
            return await self._state(path)
        if path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": model} for model in self.models]})
        if path == "/metrics":
            return httpx.Response(200, text=text("metrics_after.txt"))
        return answer({"/health": "health", "/load": "load"}[path])

    async def _generate(self, path: str) -> httpx.Response:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            while self.silent or self.asleep:
                await tick()
            await tick(0.02)
        finally:
            self.in_flight -= 1
        return answer("completion_ignore_eos" if path == COMPLETIONS else "chat_stream")

    async def _state(self, path: str) -> httpx.Response:
        if not self.dev_mode:
            return httpx.Response(404)
        while self.silent:
            await tick()
        return httpx.Response(200, json={path.removeprefix("/"): self.asleep})

    def sockets(self, _port: int, at: float) -> SocketsObservation:
        return SocketsObservation(at=at, readable=True, listeners=self.listeners, samples=self.connections)

    def count(self, path: str) -> int:
        return self.calls.count(path)


@asynccontextmanager
async def watching(
    engine: FakeEngine, target: EngineTarget | None = None, before: Callable[[Watcher], object] = lambda _watcher: None
) -> AsyncIterator[Watcher]:
    watcher = Watcher(
        Policy(engine=target or EngineTarget(type=EngineType.VLLM), watchdog=WATCHDOG),
        pod="qwen-0",
        clock=asyncio.get_running_loop().time,
        transport=httpx.MockTransport(engine),
        look_at_sockets=engine.sockets,
    )
    before(watcher)
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def tick(seconds: float = 0.1) -> None:
    await asyncio.sleep(seconds)


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(watcher: Watcher, state: VerdictState, within: float) -> float:
    began = now()
    while watcher.verdict(now()).state is not state:
        assert now() - began < within, watcher.verdict(now())
        await tick()
    return now() - began


async def test_an_idle_engine_is_looked_at_gently() -> None:
    engine = FakeEngine()
    async with watching(engine) as watcher:
        await asyncio.sleep(60)
        assert watcher.verdict(now()).state is VerdictState.HEALTHY
    assert 28 <= engine.count(COMPLETIONS) <= 31
    assert engine.count("/health") <= 13
    assert engine.count("/metrics") <= 7
    assert engine.count("/v1/models") == 1
    assert engine.most_in_flight == 1
    assert watcher.tally.canaries[CanaryOutcome.SUCCEEDED] == watcher.tally.first_token_count
    assert watcher.tally.first_token_buckets[-1] == watcher.tally.first_token_count
    assert watcher.tally.tokens == 8 * watcher.tally.first_token_count
    assert watcher.tally.own_errors == 0


async def test_a_hang_is_found_and_its_end_is_seen_at_once() -> None:
    engine = FakeEngine()
    async with watching(engine) as watcher:
        await asyncio.sleep(10)
        engine.silent = True
        assert await until(watcher, VerdictState.SUSPECT, within=8) >= 5
        assert await until(watcher, VerdictState.FAULTY, within=17) >= 14
        engine.silent = False
        assert await until(watcher, VerdictState.HEALTHY, within=1) < 1
    assert engine.most_in_flight == 1
    assert watcher.tally.canaries[CanaryOutcome.NO_FIRST_TOKEN] == 2


async def test_a_sleeping_engine_is_not_asked_and_the_canary_under_way_is_withdrawn() -> None:
    engine = FakeEngine()
    async with watching(engine) as watcher:
        await asyncio.sleep(10)
        engine.asleep = True
        await asyncio.sleep(5)
        assert watcher.verdict(now()).unknown is UnknownReason.ASLEEP
        assert engine.in_flight == 0
        asked = engine.count(COMPLETIONS)
        watcher.confirm()
        await asyncio.sleep(120)
        assert engine.count(COMPLETIONS) == asked
        engine.asleep = False
        assert await until(watcher, VerdictState.HEALTHY, within=5) > 0


async def test_gated_endpoints_are_left_alone() -> None:
    engine = FakeEngine(dev_mode=False)
    async with watching(engine) as watcher:
        await asyncio.sleep(50)
        assert watcher.verdict(now()).state is VerdictState.HEALTHY
    assert engine.count("/is_sleeping") == 1


async def test_a_reset_voids_everything_and_asks_at_once() -> None:
    engine = FakeEngine()
    async with watching(engine) as watcher:
        await asyncio.sleep(10)
        engine.silent = True
        await until(watcher, VerdictState.FAULTY, within=30)
        watcher.reset("restarted")
        assert watcher.verdict(now()).unknown is UnknownReason.STARTING
        await asyncio.sleep(60)
        assert watcher.verdict(now()).unknown is UnknownReason.STARTING
        engine.silent = False
        at = now()
        await until(watcher, VerdictState.HEALTHY, within=15)
        passed = watcher.verdict(now()).last_canary_passed_at
        assert passed is not None
        assert passed >= at - 10


async def test_confirm_sends_a_canary_before_its_time() -> None:
    engine = FakeEngine()
    async with watching(engine) as watcher:
        await asyncio.sleep(10.1)
        asked = engine.count(COMPLETIONS)
        watcher.confirm()
        await asyncio.sleep(0.6)
        assert engine.count(COMPLETIONS) == asked + 1


async def test_several_models_and_none_named_is_no_canary() -> None:
    engine = FakeEngine(models=("a", "b"))
    async with watching(engine) as watcher:
        await asyncio.sleep(5)
        verdict = watcher.verdict(now())
        assert verdict.unknown is UnknownReason.NO_CANARY
        assert "spec.engine.model" in verdict.message
    assert engine.count(COMPLETIONS) == 0


async def test_a_server_with_chat_only_is_asked_by_chat() -> None:
    engine = FakeEngine(missing={COMPLETIONS, "/health", "/metrics"})
    async with watching(engine, EngineTarget(type=EngineType.OPENAI, model="m")) as watcher:
        await asyncio.sleep(10)
        assert watcher.verdict(now()).state is VerdictState.HEALTHY
    assert engine.count(COMPLETIONS) == 1
    assert engine.count("/metrics") == 0


async def test_an_engine_known_from_the_journal_hangs_before_it_answered_us() -> None:
    engine = FakeEngine(silent=True)
    async with watching(engine, before=lambda watcher: watcher.recognize(7)) as watcher:
        await until(watcher, VerdictState.FAULTY, within=30)
    async with watching(engine, before=lambda watcher: watcher.recognize(8)) as watcher:
        await asyncio.sleep(60)
        assert watcher.verdict(now()).unknown is UnknownReason.STARTING


async def test_a_bug_of_our_own_is_counted_and_harms_nobody() -> None:
    engine = FakeEngine()
    async with watching(engine) as watcher:
        await asyncio.sleep(10)
        engine.broken = ZeroDivisionError()
        await asyncio.sleep(70)
        assert watcher.verdict(now()).state is VerdictState.UNKNOWN
        assert watcher.verdict(now()).unknown is UnknownReason.PROBE_FAILED
        assert watcher.tally.own_errors > 0
        engine.broken = None
        await until(watcher, VerdictState.HEALTHY, within=5)


async def test_users_in_flight_are_counted_and_the_listener_is_told() -> None:
    user = SocketSample(peer="a", own=False, open=True, received=900, acked=180)
    engine = FakeEngine(connections=(user, SocketSample(peer="b", own=True, open=True, received=9, acked=0)))
    async with watching(engine) as watcher:
        assert watcher.in_flight(now()) is None
        assert watcher.listener is None
        await asyncio.sleep(2)
        assert watcher.in_flight(now()) == 1
        assert watcher.moving(now()) is False
        assert watcher.listener == 7
        engine.connections, engine.listeners = (), frozenset()
        await asyncio.sleep(2)
        assert watcher.in_flight(now()) == 0
        assert watcher.listener == 0


@pytest.mark.parametrize(("cost", "tokens"), [(ProbeCost.METERED, 7 + 8), (ProbeCost.FREE, 0)])
async def test_what_a_metered_engine_has_cost_is_kept_over_its_restarts(cost: ProbeCost, tokens: int) -> None:
    engine = FakeEngine()
    async with watching(engine, EngineTarget(type=EngineType.VLLM, probe_cost=cost)) as watcher:
        await until(watcher, VerdictState.HEALTHY, 5)
        assert watcher.window.meter.tokens == tokens
        watcher.reset("restarted")
        assert watcher.window.meter.tokens == tokens
