"""`llm-watchdog run` and `check` beside the real vLLM: the right class for each fault, and nothing in good load."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from e2e.systems.load import good_load
from e2e.systems.talking import End
from e2e.systems.vllm import KEEP_ALIVE, Vllm, running
from e2e.systems.watchdog import Watched, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.systems.conftest import Beside, Start

pytestmark = [pytest.mark.systems, pytest.mark.large]

CLIENTS = 16
RECOVERY_SECONDS = 600
"""A restart of vLLM takes minutes beside other work on two cores."""


@pytest.fixture(scope="module")
def system(start: Start[Vllm], tmp_path_factory: pytest.TempPathFactory) -> Vllm:
    return start(running(tmp_path_factory.mktemp("vllm"), KEEP_ALIVE))


@pytest.fixture
def vllm(system: Vllm) -> Iterator[Vllm]:
    """Whole before each case."""
    yield system
    system.restore()


def watched(vllm: Vllm, **policy: Any) -> Watched:
    return Watched(port=vllm.port, engine="vllm", policy=policy)


CAUSES: dict[str, tuple[str, Callable[[Vllm], object]]] = {
    "core stopped": ("StalledStream", lambda vllm: vllm.signal_core(signal.SIGSTOP)),
    "worker blocked": ("StalledStream", lambda vllm: vllm.hang()),
    "core dead": ("EngineDead", lambda vllm: vllm.signal_core(signal.SIGKILL)),
    "noise": ("DegradedOutput", lambda vllm: vllm.inside("noise", scale=0.05)),
    "nan": ("DegradedOutput", lambda vllm: vllm.inside("fill", value="nan", match="model.norm")),
    "zero": ("DegradedOutput", lambda vllm: vllm.inside("fill", value="0", match="model.norm")),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_fault_ends_in_a_proven_restart(cause: str, vllm: Vllm, beside: Beside) -> None:
    fault, happen = CAUSES[cause]
    watchdog, supervisor = beside(watched(vllm, checks={"interval": "10s"}), vllm.restart)
    happen(vllm)
    watchdog.wait_detected()
    closed = watchdog.wait_closed(RECOVERY_SECONDS)
    assert watchdog.faults() == {fault}
    assert (closed["outcome"], supervisor.restarts) == ("Recovered", 1)
    assert vllm.complete("one").end is End.WHOLE


def test_a_hang_in_the_middle_of_users_streams(vllm: Vllm, beside: Beside) -> None:
    watchdog, supervisor = beside(watched(vllm), vllm.restart)
    with vllm.opened("def main(argv):") as stream:
        stream.send()
        stream.read_until(lambda body: body.count(b"data:") > 2)
        vllm.signal_core(signal.SIGSTOP)
        closed = watchdog.wait_closed(RECOVERY_SECONDS)
    assert watchdog.faults() == {"StalledStream"}
    assert (closed["outcome"], supervisor.restarts) == ("Recovered", 1)


@pytest.mark.parametrize(("begin", "end"), [("/pause", "/resume"), ("/sleep?level=1", "/wake_up")])
def test_a_pause_by_somebody_else_is_no_fault(
    begin: str, end: str, vllm: Vllm, beside: Beside, load_seconds: float
) -> None:
    watchdog, supervisor = beside(watched(vllm), vllm.restart)
    vllm.order(begin)
    over = time.monotonic() + load_seconds
    while time.monotonic() < over:
        assert watchdog.lines() == []
        time.sleep(1)
    assert not watchdog.is_ready()
    vllm.order(end)
    watchdog.wait_ready()
    assert ([line for line in watchdog.lines() if line["incident"]], supervisor.restarts) == ([], 0)


def test_a_pause_that_nobody_ends(vllm: Vllm, beside: Beside) -> None:
    soon = {"wakeFailed": {"pauseDeadline": "20s"}}  # ten minutes
    watchdog, _ = beside(watched(vllm, detectors=soon), vllm.restart)
    vllm.order("/pause")
    detected = watchdog.wait_detected()
    assert (detected["fault"], detected["reason"]) == ("WakeFailed", "PausedTooLong")


def test_good_load_and_slow_steps_raise_nothing(vllm: Vllm, beside: Beside, load_seconds: float) -> None:
    assert check(watched(vllm)).code == 0
    watchdog, supervisor = beside(watched(vllm), vllm.restart)
    sent = good_load(
        lambda: vllm.complete("one two", seconds=60).end is End.WHOLE, clients=CLIENTS, seconds=load_seconds
    )
    vllm.inside("slow", seconds=0.3)
    slow = good_load(
        lambda: vllm.complete("one two", seconds=60).end is End.WHOLE, clients=CLIENTS, seconds=load_seconds
    )
    print(f"{sent} streams, {slow} slow ones")
    assert watchdog.is_ready()
    assert (watchdog.lines(), supervisor.restarts) == ([], 0)
