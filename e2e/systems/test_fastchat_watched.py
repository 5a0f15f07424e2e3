"""`llm-watchdog run` and `check` beside FastChat: the right class for each fault, and nothing in good load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.systems.fastchat import LIMIT, MODEL, UNPINNED, FastChat, running
from e2e.systems.load import good_load
from e2e.systems.talking import End, wait_for
from e2e.systems.watchdog import Watchdog, Watched, check

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.systems.conftest import Beside, Start

pytestmark = pytest.mark.systems

FOR_EVER = 1e5


@pytest.fixture(scope="module")
def fastchat(start: Start[FastChat], tmp_path_factory: pytest.TempPathFactory) -> FastChat:
    return start(running(tmp_path_factory.mktemp("fastchat")))


def worker(fastchat: FastChat) -> Watched:
    return Watched(port=fastchat.worker_port, engine="fastchat", options={"concurrency": str(LIMIT)})


def gateway(fastchat: FastChat) -> Watched:
    return Watched(port=fastchat.gateway_port, engine="openai", options={"model": MODEL})


def no_slot_is_left_behind(fastchat: FastChat) -> None:
    wait_for("all slots are free", fastchat.is_free)


def test_slots_that_leaked(fastchat: FastChat, beside: Beside) -> None:
    watchdog, supervisor = beside(worker(fastchat), fastchat.restart_worker)
    for _ in range(LIMIT):
        fastchat.leak()
    closed = watchdog.wait_closed()
    assert watchdog.faults() == {"LeakedConcurrency"}
    assert (closed["outcome"], supervisor.restarts) == ("Recovered", 1)
    watchdog.wait_ready()
    watchdog.program.stop()
    no_slot_is_left_behind(fastchat)


def test_threads_that_stand_still_without_a_client(fastchat: FastChat, beside: Beside) -> None:
    watchdog, supervisor = beside(worker(fastchat), fastchat.restart_worker)
    for _ in range(LIMIT):
        fastchat.block_a_thread(FOR_EVER)
    closed = watchdog.wait_closed()
    assert watchdog.faults() == {"LeakedConcurrency"}
    assert (closed["outcome"], supervisor.restarts) == ("Recovered", 1)


def test_an_event_loop_that_stands_still(fastchat: FastChat, beside: Beside) -> None:
    watchdog, supervisor = beside(worker(fastchat), fastchat.restart_worker)
    fastchat.block_the_loop(FOR_EVER)
    closed = watchdog.wait_closed()
    assert watchdog.faults() == {"StalledStream"}
    assert (closed["outcome"], supervisor.restarts) == ("Recovered", 1)


def test_a_worker_that_was_killed(fastchat: FastChat, beside: Beside) -> None:
    soon = {"remediation": {"startupTimeout": "20s"}}  # half an hour: it might be loading a model
    watched = Watched(port=fastchat.worker_port, engine="fastchat", options={"concurrency": str(LIMIT)}, policy=soon)
    watchdog, supervisor = beside(watched, fastchat.restart_worker)
    fastchat.worker_program.kill()
    closed = watchdog.wait_closed()
    assert watchdog.faults() == {"EngineDead"}
    assert (closed["outcome"], supervisor.restarts) == ("Recovered", 1)


def test_a_worker_killed_in_a_stream_seen_from_its_gateway(fastchat: FastChat, beside: Beside) -> None:
    watchdog, supervisor = beside(gateway(fastchat), fastchat.restart_worker)
    with fastchat.opened_chat("word " * 200, max_tokens=200) as stream:
        stream.send()
        stream.read_until(lambda body: body.count(b"word") > 2)
        fastchat.worker_program.kill()
    watchdog.wait_detected()
    assert check(gateway(fastchat)).code == 1
    closed = watchdog.wait_closed()
    assert watchdog.faults() == {"EngineDead"}
    assert closed["outcome"] == "Recovered"
    assert supervisor.restarts >= 1
    fastchat.wait_worker()


def test_a_gateway_whose_streams_are_empty(
    start: Start[FastChat], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    broken = start(running(tmp_path_factory.mktemp("unpinned"), UNPINNED))
    assert check(gateway(broken)).code == 1
    with Watchdog(gateway(broken), tmp_path) as watchdog:
        assert watchdog.wait_detected()["fault"] == "IncompleteStream"
        assert not watchdog.is_ready()
        assert watchdog.faults() == {"IncompleteStream"}


def test_good_load_raises_nothing_and_leaves_no_slot(fastchat: FastChat, beside: Beside, load_seconds: float) -> None:
    assert check(worker(fastchat)).code == 0
    watchdog, supervisor = beside(worker(fastchat), fastchat.restart_worker)

    def whole() -> bool:
        reply = fastchat.generate("one two three four five six seven eight", seconds=60)
        return reply.end is End.WHOLE and reply.nul_objects()[-1]["finish_reason"] == "stop"

    sent = good_load(whole, clients=2 * LIMIT, seconds=load_seconds)
    print(f"{sent} streams")
    assert watchdog.is_ready()
    watchdog.program.stop()
    assert (watchdog.lines(), supervisor.restarts) == ([], 0)
    no_slot_is_left_behind(fastchat)
