"""The simulated world keeps to what the real one does, as far as a rule can tell."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from benchmarks.detection.behaviours import FAULTY, HEALTHY
from benchmarks.detection.cases import Behaviour, LoadName, draw
from benchmarks.detection.entrants import ENTRANTS
from benchmarks.detection.scoring import score
from benchmarks.detection.simulation import virtual_time
from benchmarks.detection.simulation.network import Network
from benchmarks.detection.simulation.play import play
from benchmarks.detection.trace import Deed
from e2e.fault_engine.exchange import Receive, Send

HANG = draw(Behaviour(name="hang", says="", faults=("hang",), loads=(LoadName.IDLE,), seconds=60), "hang", "vllm", "1")
RULES = {entrant.name: entrant for entrant in ENTRANTS}


def test_time_passes_without_waiting_and_for_every_clock() -> None:
    async def an_hour() -> tuple[float, float]:
        before = time.monotonic()
        await asyncio.sleep(3600)
        return time.monotonic() - before, asyncio.get_running_loop().time()

    began = time.monotonic()
    by_clock, by_loop = virtual_time.run(an_hour, "1")
    assert by_clock == pytest.approx(3600, abs=0.001)
    assert by_loop == pytest.approx(3600, abs=0.001)
    assert time.monotonic() - began < 3600


def test_whoever_waits_for_nothing_is_told() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(virtual_time.StandstillError):
        virtual_time.run(forever, "1")


def test_a_moment_too_short_for_a_float_passes() -> None:
    async def until(end: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(end - 1e-5)
        while loop.time() < end:  # noqa: ASYNC110 - the very thing that is tested
            await asyncio.sleep(1e-13)

    virtual_time.run(lambda: until(1_000.0), "1")


@pytest.mark.thorough
def test_a_run_can_be_had_again() -> None:
    first, again = (play(HANG, RULES["ours"]) for _ in range(2))
    assert first == again
    assert first.events[0].deed is Deed.ENTERED


@pytest.mark.thorough
def test_health_that_lies_is_believed_by_the_kubelet_and_not_by_us() -> None:
    assert not score(HANG, "kserve", play(HANG, RULES["kserve"])).detected
    found = score(HANG, "ours", play(HANG, RULES["ours"]))
    assert found.detected
    assert found.right_class
    assert found.false_outs == found.false_restarts == 0


@pytest.mark.thorough
@pytest.mark.parametrize("rule", ["kserve", "kubeai", "production-stack"])
def test_a_frozen_server_is_found_by_everybody_who_asks(rule: str) -> None:
    frozen = next(behaviour for behaviour in FAULTY if behaviour.name == "frozen server")
    case = draw(frozen, "api-server-freeze", "vllm", "1")
    assert score(case, rule, play(case, RULES[rule])).restart_seconds is not None


@pytest.mark.thorough
@pytest.mark.parametrize("dialect", ["vllm", "lazyllm"])
def test_a_compile_for_a_users_new_prompt_costs_one_departure_and_no_restart(dialect: str) -> None:
    compiling = next(behaviour for behaviour in HEALTHY if behaviour.name == "kernel compile")
    case = draw(compiling, "jit-stall=70", dialect, "1")
    found = score(case, "ours", play(case, RULES["ours"]))
    assert (found.false_outs, found.false_restarts, found.false_incidents) == (1, 0, 0)


class _Mistaken:
    """A server that starts its answer twice."""

    inode = 1

    def __init__(self) -> None:
        self.awake = asyncio.Event()
        self.awake.set()

    async def serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.start", "status": 500, "headers": []})


def test_a_mistake_of_the_server_is_no_fault_that_a_rule_could_miss() -> None:
    async def ask() -> list[Exception]:
        network = Network(_Mistaken())
        connection = await network.open("GET", "/", {}, b"", own=True)
        await network.next(connection)
        with pytest.raises(httpx.RemoteProtocolError):
            await network.next(connection)
        return network.mistakes

    assert [type(mistake) for mistake in virtual_time.run(ask, "1")] == [RuntimeError]
