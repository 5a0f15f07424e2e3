"""When a preStop may return."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from llm_watchdog.actions.drain import SETTLE_SECONDS, Drain
from llm_watchdog.core.case import EngineMark


@dataclass
class Engine:
    in_flight: int | None = 0
    condemned: bool = False
    engine: EngineMark = field(default_factory=lambda: EngineMark(listener=1))


def draining(engine: Engine) -> Drain:
    return Drain(engine, asyncio.get_running_loop().time)


async def test_a_condemned_engine_is_not_waited_for_and_not_taken_out_for_good() -> None:
    engine = Engine(in_flight=3, condemned=True)
    drain = draining(engine)
    assert "nothing is served" in await drain.wait(30)
    assert not drain.active


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_watchdog.actions.drain.SETTLE_SECONDS", 0.3)
    monkeypatch.setattr("llm_watchdog.actions.drain.QUIET_SECONDS", 0.3)
    monkeypatch.setattr("llm_watchdog.actions.drain.POLL_SECONDS", 0.05)


async def test_an_idle_engine_is_held_until_the_nodes_know() -> None:
    drain = draining(Engine())
    waiting = asyncio.create_task(drain.wait(30))
    await asyncio.sleep(0.1)
    assert drain.active
    assert not waiting.done()
    assert "no request in flight" in await waiting
    assert SETTLE_SECONDS > 1


async def test_requests_in_flight_are_waited_for() -> None:
    engine = Engine(in_flight=2)
    waiting = asyncio.create_task(draining(engine).wait(4))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    engine.in_flight = 0
    assert "no request in flight" in await waiting


async def test_a_request_that_came_between_two_looks_is_waited_for() -> None:
    """A node that learned late still sends new connections when the others have stopped."""
    engine = Engine(in_flight=1)
    waiting = asyncio.create_task(draining(engine).wait(30))
    for in_flight in (0, 2, 0, 3):
        await asyncio.sleep(0.15)
        engine.in_flight = in_flight
    await asyncio.sleep(0.5)
    assert not waiting.done()
    engine.in_flight = 0
    assert "no request in flight" in await waiting


async def test_not_for_ever_and_unknown_counts_as_busy() -> None:
    assert "an unknown number of requests" in await draining(Engine(in_flight=None)).wait(0.3)


async def test_an_engine_that_falls_silent_meanwhile_is_not_waited_for() -> None:
    engine = Engine(in_flight=2)
    waiting = asyncio.create_task(draining(engine).wait(30))
    await asyncio.sleep(0.1)
    engine.condemned = True
    assert "any more" in await waiting


async def test_it_ends_with_the_engine_that_was_drained() -> None:
    """A probe that kills the engine runs its preStop too; the next engine in this pod is to serve again."""
    engine = Engine()
    drain = draining(engine)
    await drain.wait(0.0)
    assert drain.active
    engine.engine = EngineMark(listener=2)
    assert not drain.active


async def test_it_lapses_where_nobody_stopped_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint asks for no name: a stranger's GET must not take a living replica out for good."""
    monkeypatch.setattr("llm_watchdog.actions.drain.LAPSE_SECONDS", 0.3)
    drain = draining(Engine())
    await drain.wait(30)
    assert drain.active
    await asyncio.sleep(0.4)
    assert not drain.active
