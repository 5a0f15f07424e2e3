"""`llm-watchdog run` and `check` beside DB-GPT: the right class for each fault, and nothing in good load."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from e2e.systems.dbgpt import LIMIT, MODEL, DbGpt, Kind, running
from e2e.systems.load import good_load
from e2e.systems.talking import End, wait_for
from e2e.systems.upstream import Behaviour, Upstream
from e2e.systems.watchdog import Watched, check

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.systems.conftest import Beside, Start

pytestmark = pytest.mark.systems

FOR_EVER = 1e5


@pytest.fixture(scope="module")
def proxy(start: Start[DbGpt], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> DbGpt:
    return start(running(tmp_path_factory.mktemp("dbgpt"), upstream))


@pytest.fixture(scope="module")
def threads(start: Start[DbGpt], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> DbGpt:
    return start(running(tmp_path_factory.mktemp("dbgpt"), upstream, Kind.THREAD))


def metered(system: DbGpt) -> Watched:
    """As it is by default: somebody pays for upstream's tokens."""
    return Watched(port=system.worker_port, engine="dbgpt", options={"model": MODEL})


def free(system: DbGpt) -> Watched:
    return Watched(port=system.worker_port, engine="dbgpt", options={"model": MODEL, "probe-cost": "Free"})


@pytest.mark.parametrize("cost", [metered, free])
def test_slots_pinned_by_a_stalled_upstream(cost: Callable[[DbGpt], Watched], proxy: DbGpt, beside: Beside) -> None:
    watchdog, supervisor = beside(cost(proxy), proxy.restart_worker)
    with ExitStack() as stack:
        for _ in range(LIMIT):
            stream = stack.enter_context(proxy.opened("one fault:stall"))
            stream.send()
            stream.read_until(lambda body: b"\0" in body)
        closed = watchdog.wait_closed()
    assert watchdog.faults() == {"LeakedConcurrency"}
    assert (closed["outcome"], supervisor.restarts) == ("Recovered", 1)
    assert proxy.has_a_slot()


def test_threads_that_stand_still_without_a_client(threads: DbGpt, beside: Beside) -> None:
    watchdog, supervisor = beside(free(threads), threads.restart_worker)
    for _ in range(LIMIT):
        threads.block_a_thread(FOR_EVER)
    closed = watchdog.wait_closed()
    assert watchdog.faults() == {"LeakedConcurrency"}
    assert (closed["outcome"], supervisor.restarts) == ("Recovered", 1)
    assert threads.has_a_slot()


def test_an_error_of_upstream_is_no_ground_for_a_restart(proxy: DbGpt, upstream: Upstream, beside: Beside) -> None:
    watchdog, supervisor = beside(free(proxy), proxy.restart_worker)
    upstream.behaviour = Behaviour.ERROR
    detected = watchdog.wait_detected()
    assert check(free(proxy)).code == 1
    upstream.behaviour = Behaviour.GOOD
    closed = watchdog.wait_closed()
    assert (detected["fault"], detected["reason"]) == ("EngineDead", "UpstreamFailed")
    assert (closed["outcome"], supervisor.restarts) == ("SelfHealed", 0)


@pytest.mark.parametrize("name", ["proxy", "threads"])
def test_good_load_raises_nothing_and_leaves_no_slot(
    name: str, request: pytest.FixtureRequest, beside: Beside, load_seconds: float
) -> None:
    system: DbGpt = request.getfixturevalue(name)
    assert check(free(system)).code == 0
    watchdog, supervisor = beside(free(system), system.restart_worker)

    def whole() -> bool:
        reply = system.generate("one two three four five six seven eight", seconds=60)
        return reply.end is End.WHOLE and reply.nul_objects()[-1]["error_code"] == 0

    sent = good_load(whole, clients=2 * LIMIT, seconds=load_seconds)
    print(f"{sent} streams")
    assert watchdog.is_ready()
    watchdog.program.stop()
    assert (watchdog.lines(), supervisor.restarts) == ([], 0)
    wait_for("a slot is free", system.has_a_slot)
