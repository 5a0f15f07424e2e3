"""The call itself, against an engine that answers in every way the real ones do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from llm_watchdog.actions import flush
from llm_watchdog.actions.flush import CacheFlush
from llm_watchdog.api.policy import EngineType
from llm_watchdog.core.case import FlushOrder
from llm_watchdog.core.situation import OrderState
from llm_watchdog.engines.registry import DIALECTS
from llm_watchdog.probes.engine_client import EngineClient
from tests.sidecar.errands import Aside, carried_out
from tests.sidecar.situations import START

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = FlushOrder(id="flush-1", at=START)
SGLANG_REFUSES = (
    b"Flush cache failed.\nPlease check backend logs for more details. (When there are running or waiting requests, "
    b"the operation will not be performed.)\n"
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flush, "SETTLE_SECONDS", 0)


async def ordered(
    engine: EngineType, handler: Callable[[httpx.Request], httpx.Response]
) -> tuple[OrderState, str, list[str], bool]:
    asked: list[str] = []
    flushed: list[bool] = []
    aside = Aside()

    def handle(request: httpx.Request) -> httpx.Response:
        assert aside.now, "beside a canary of ours it would be refused"
        asked.append(f"{request.method} {request.url.path}")
        return handler(request)

    def meanwhile() -> None:
        assert not flushed or aside.now, "told before what it voids is void"

    client = EngineClient(8000, lambda: None, httpx.MockTransport(handle))
    action = CacheFlush(client, DIALECTS[engine](), aside=aside.standing, flushed=lambda: flushed.append(True))
    answer = await carried_out(action, ORDER, meanwhile)
    return answer.state, answer.message, asked, bool(flushed)


@pytest.mark.parametrize(
    ("engine", "status", "body", "state"),
    [
        (EngineType.VLLM, 200, b"", OrderState.HONOURED),  # up to 0.25, whatever it did
        (EngineType.VLLM, 200, b'{"success":true}', OrderState.HONOURED),
        (EngineType.VLLM, 200, b'{"success":false}', OrderState.REFUSED),
        (EngineType.VLLM, 404, b'{"detail":"Not Found"}', OrderState.UNAVAILABLE),
        (EngineType.VLLM, 500, b"Internal Server Error", OrderState.REFUSED),
        (EngineType.SGLANG, 200, b"Cache flushed.", OrderState.HONOURED),
        (EngineType.SGLANG, 400, SGLANG_REFUSES, OrderState.REFUSED),
    ],
)
def test_what_it_answers_and_what_that_means(engine: EngineType, status: int, body: bytes, state: OrderState) -> None:
    came, message, asked, flushed = asyncio.run(ordered(engine, lambda _: httpx.Response(status, content=body)))
    assert came is state
    assert message
    assert flushed == (state is OrderState.HONOURED)
    assert set(asked) == {{EngineType.VLLM: "POST /reset_prefix_cache"}.get(engine, "POST /flush_cache")}


def test_an_engine_that_is_not_idle_yet_is_asked_again() -> None:
    busy = iter([False, False, True])
    answer = asyncio.run(ordered(EngineType.VLLM, lambda _: httpx.Response(200, json={"success": next(busy)})))
    assert answer[0] is OrderState.HONOURED
    assert len(answer[2]) == 3


def test_an_engine_that_is_gone_refuses() -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request) from ConnectionRefusedError()

    assert asyncio.run(ordered(EngineType.VLLM, gone))[0] is OrderState.REFUSED


@pytest.mark.parametrize("engine", [kind for kind in EngineType if kind not in (EngineType.VLLM, EngineType.SGLANG)])
def test_the_others_have_no_call_for_it(engine: EngineType) -> None:
    assert DIALECTS[engine]().flush is None
    assert not DIALECTS[engine]().capabilities.flush
