"""The calls themselves, against an engine that answers in every way the real ones do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from llm_watchdog.actions import power
from llm_watchdog.actions.power import EnginePower
from llm_watchdog.api.policy import EngineType
from llm_watchdog.core.power import PowerOrder
from llm_watchdog.core.situation import OrderState
from llm_watchdog.engines.power import LEVELS
from llm_watchdog.engines.registry import DIALECTS
from llm_watchdog.probes.engine_client import EngineClient
from tests.sidecar.errands import Aside, carried_out
from tests.sidecar.situations import START

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_watchdog.core.situation import OrderAnswer


PAUSED = ["POST /pause_generation", "POST /flush_cache?timeout=20"]
RELEASED = [*PAUSED, "POST /release_memory_occupation"]
UNDONE = "POST /continue_generation"


def order(*, asleep: bool, level: int = 1, released: bool = True) -> PowerOrder:
    return PowerOrder(id="order-1", at=START, asleep=asleep, level=level, released=released)


def well(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


class Made:
    """What became of one order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.wakes_failed = 0
        self.answer: OrderAnswer | None = None

    async def make(
        self, engine: EngineType, wanted: PowerOrder, handler: Callable[[httpx.Request], httpx.Response] = well
    ) -> Made:
        aside = Aside()

        def handle(request: httpx.Request) -> httpx.Response:
            assert aside.now, "a canary of ours may run beside it"
            self.asked.append(f"{request.method} {request.url.raw_path.decode()}")
            return handler(request)

        def failed() -> None:
            self.wakes_failed += 1

        dialect = DIALECTS[engine]()
        client = EngineClient(8000, lambda: None, httpx.MockTransport(handle), forbidden=dialect.forbidden)
        action = EnginePower(client, dialect, aside=aside.standing, wake_failed=failed)
        self.answer = await carried_out(action, wanted)
        return self

    @property
    def state(self) -> OrderState:
        assert self.answer is not None
        return self.answer.state


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "SETTLE_SECONDS", 0)


@pytest.mark.parametrize(
    ("engine", "wanted", "asked"),
    [
        (EngineType.VLLM, order(asleep=True), ["POST /sleep?level=1"]),
        (EngineType.VLLM, order(asleep=True, level=2), ["POST /sleep?level=2"]),
        (EngineType.VLLM, order(asleep=False), ["POST /wake_up", "POST /reset_prefix_cache"]),
        (
            EngineType.VLLM,
            order(asleep=False, level=2),
            [
                "POST /wake_up?tags=weights",
                "POST /collective_rpc",
                "POST /wake_up?tags=kv_cache",
                "POST /reset_prefix_cache",
            ],
        ),
        (EngineType.SGLANG, order(asleep=True), RELEASED),
        (EngineType.SGLANG, order(asleep=False), ["POST /resume_memory_occupation", "POST /flush_cache", UNDONE]),
    ],
)
async def test_the_order_of_the_calls(engine: EngineType, wanted: PowerOrder, asked: list[str]) -> None:
    made = await Made().make(engine, wanted)
    assert (made.state, made.asked, made.wakes_failed) == (OrderState.HONOURED, asked, 0)


@pytest.mark.parametrize("place", range(4))
async def test_a_call_that_fails_is_the_last_one(place: int) -> None:
    """Weights that could not be loaded again, and a cache that is mapped all the same, would be garbage."""
    made = Made()

    def fails(_: httpx.Request) -> httpx.Response:
        return httpx.Response(500 if len(made.asked) > place else 200)

    await made.make(EngineType.VLLM, order(asleep=False, level=2), fails)
    assert (made.state, len(made.asked), made.wakes_failed) == (OrderState.REFUSED, place + 1, 1)


async def test_a_cache_that_was_not_emptied_is_no_wake() -> None:
    made = await Made().make(
        EngineType.VLLM, order(asleep=False), lambda _: httpx.Response(200, json={"success": False})
    )
    assert (made.state, made.wakes_failed) == (OrderState.REFUSED, 1)


async def test_a_failed_sleep_is_no_failed_wake() -> None:
    made = await Made().make(EngineType.VLLM, order(asleep=True), lambda _: httpx.Response(404))
    assert (made.state, made.wakes_failed) == (OrderState.UNAVAILABLE, 0)
    assert made.answer is not None
    assert "--enable-sleep-mode" in made.answer.message


async def test_a_resume_of_what_is_not_known_to_be_released_is_not_sent() -> None:
    """It kills SGLang; so the wake has failed, and the ladder restarts it."""
    made = await Made().make(EngineType.SGLANG, order(asleep=False, released=False))
    assert (made.state, made.asked, made.wakes_failed) == (OrderState.REFUSED, [], 1)


@pytest.mark.parametrize(("place", "status"), [(0, 404), (1, 400), (2, 400)])
async def test_a_sleep_that_did_not_come_about_is_taken_back(place: int, status: int) -> None:
    """Paused, it would answer nobody until somebody noticed. 400 to the flush: something still runs in it."""
    made = Made()

    def turns_down(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status if len(made.asked) == place + 1 else 200)

    await made.make(EngineType.SGLANG, order(asleep=True), turns_down)
    assert made.asked == [*RELEASED[: place + 1], UNDONE]
    assert (made.state is OrderState.HONOURED, made.wakes_failed) == (False, 0)


async def test_after_a_release_that_was_not_answered_it_is_not_told_to_go_on() -> None:
    """It may be released all the same, and would schedule on memory that is gone."""
    made = Made()

    def hangs(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/release_memory_occupation":
            raise httpx.ReadError("cut", request=request)
        return httpx.Response(200)

    await made.make(EngineType.SGLANG, order(asleep=True), hangs)
    assert (made.state, made.asked) == (OrderState.TIMED_OUT, RELEASED)


@pytest.mark.parametrize("engine", [engine for engine, dialect in DIALECTS.items() if dialect.power is not None])
def test_each_level_can_be_slept_at_and_woken_from(engine: EngineType) -> None:
    ways = DIALECTS[engine].power
    assert ways is not None
    assert set(ways.sleep) == set(ways.wake) == set(LEVELS)
    flush = DIALECTS[engine].flush
    assert flush is not None
    assert all(flush.call in calls for calls in ways.wake.values()), "the prefix cache is reset always"


async def test_an_engine_without_such_calls() -> None:
    made = await Made().make(EngineType.OPENAI, order(asleep=True))
    assert (made.state, made.asked) == (OrderState.UNAVAILABLE, [])
