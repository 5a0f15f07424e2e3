"""Own requests and no others: which ids there are, which calls are made of them, and what the engine answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_watchdog.actions.abort import RequestAbort
from llm_watchdog.api.policy import CanaryPolicy, EngineTarget, EngineType
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.case import AbortOrder
from llm_watchdog.core.request_ids import request_id, whole
from llm_watchdog.core.situation import OrderState
from llm_watchdog.engines.openai import OpenAI
from llm_watchdog.engines.registry import DIALECTS
from llm_watchdog.probes.engine_client import EngineClient
from llm_watchdog.probes.questions import Questions
from llm_watchdog.probes.unended import KEPT, Unended
from tests.sidecar.errands import Aside, carried_out
from tests.sidecar.situations import START

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = AbortOrder(id="abort-1", at=START)
OWN = tuple(request_id("qwen-0", "0123456789abcdef", number) for number in (1, 2))
BY_ID = (EngineType.VLLM, EngineType.SGLANG)


def canary(name: str, outcome: CanaryOutcome) -> CanaryObservation:
    return CanaryObservation(id=name, shape="completions/4", started_at=0.0, max_tokens=4, outcome=outcome)


def unended(ids: tuple[str, ...]) -> Unended:
    found = Unended()
    for each in ids:
        found.note(canary(each, CanaryOutcome.NO_FIRST_TOKEN))
    return found


async def ordered(
    engine: EngineType, handler: Callable[[httpx.Request], httpx.Response], ids: tuple[str, ...] = OWN
) -> tuple[OrderState, str, list[tuple[str, Any]], Unended]:
    asked: list[tuple[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, json.loads(request.content)))
        return handler(request)

    dialect, own = DIALECTS[engine](), unended(ids)
    client = EngineClient(8000, lambda: None, httpx.MockTransport(handle), forbidden=dialect.forbidden)
    action = RequestAbort(client, dialect, own, aside=Aside().standing)
    answer = await carried_out(action, ORDER)
    await client.aclose()
    return answer.state, answer.message, asked, own


@pytest.mark.parametrize(
    ("engine", "status", "body", "state"),
    [
        (EngineType.VLLM, 200, b'{"status":"aborted","aborted":2}', OrderState.HONOURED),
        (EngineType.VLLM, 200, b"", OrderState.HONOURED),
        (EngineType.VLLM, 200, b'{"status":"aborted","aborted":0}', OrderState.REFUSED),
        (EngineType.VLLM, 404, b'{"detail":"Not Found"}', OrderState.UNAVAILABLE),
        (EngineType.VLLM, 500, b"Internal Server Error", OrderState.REFUSED),
        (EngineType.SGLANG, 200, b"", OrderState.HONOURED),
        (EngineType.SGLANG, 404, b"", OrderState.UNAVAILABLE),
        (EngineType.SGLANG, 401, b"", OrderState.REFUSED),
    ],
)
async def test_what_it_answers_and_what_that_means(
    engine: EngineType, status: int, body: bytes, state: OrderState
) -> None:
    came, message, asked, own = await ordered(engine, lambda _: httpx.Response(status, content=body))
    assert (came, bool(message), bool(asked)) == (state, True, True)
    assert (own.ids == ()) is (state is OrderState.HONOURED)


async def test_vllm_is_told_all_ids_under_its_own_names_in_one_call() -> None:
    *_, asked, _ = await ordered(EngineType.VLLM, lambda _: httpx.Response(200))
    names = [name for each in OWN for name in (f"cmpl-{each}-0", f"chatcmpl-{each}")]
    assert asked == [("/abort_requests", {"request_ids": names})]


async def test_sglang_is_told_one_id_after_the_other() -> None:
    *_, asked, _ = await ordered(EngineType.SGLANG, lambda _: httpx.Response(200))
    assert asked == [("/abort_request", {"rid": each}) for each in OWN]


@pytest.mark.parametrize("engine", BY_ID)
@pytest.mark.parametrize("ids", [(), ("",), (OWN[0][:-1],), ("cmpl-of-a-user",), ("",) * 3])
async def test_without_a_whole_own_id_nothing_is_sent(engine: EngineType, ids: tuple[str, ...]) -> None:
    """Without ids vLLM aborts everybody's requests, and SGLang takes the beginning of an id for all that begin so."""
    came, _, asked, _ = await ordered(engine, lambda _: httpx.Response(200), ids)
    assert (came, asked) == (OrderState.UNAVAILABLE, [])


@given(st.lists(st.text(max_size=60) | st.sampled_from(OWN) | st.sampled_from(OWN).map(lambda own: own[:40])))
def test_whatever_is_named_only_whole_own_ids_are_in_a_call(names: list[str]) -> None:
    for engine in DIALECTS:
        for call in DIALECTS[engine]().abort(names):
            said = (call.body or {}).get("request_ids") or [(call.body or {})["rid"]]
            assert said
            assert all(any(own in name for own in OWN) for name in said)


@pytest.mark.parametrize("engine", [kind for kind in EngineType if kind not in BY_ID])
def test_the_others_have_no_call_for_it(engine: EngineType) -> None:
    assert not DIALECTS[engine]().abort_needs
    assert DIALECTS[engine]().abort(OWN) == ()


PODS = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,20}[a-z0-9])?", fullmatch=True)


@given(PODS, PODS, st.binary(min_size=8, max_size=8), st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1))
def test_no_own_id_is_the_beginning_of_another(pod: str, other: str, token: bytes, one: int, two: int) -> None:
    first, second = request_id(pod, token.hex(), one), request_id(other, token.hex(), two)
    assert whole((first, second)) == (first, second)
    assert first == second or not second.startswith(first)
    assert len(first) - len(pod) == len(second) - len(other)


async def test_canaries_carry_such_ids() -> None:
    client = EngineClient(8000, lambda: None, httpx.MockTransport(lambda _: httpx.Response(404)))
    target = EngineTarget(type=EngineType.OPENAI, model="m")
    asked = Questions(client, OpenAI(), "qwen-0")
    orders = [await asked.order(target, CanaryPolicy()) for _ in range(12)]
    await client.aclose()
    ids = [order.id for order in orders]
    assert whole(ids) == tuple(ids)
    assert len(set(ids)) == len(ids)
    assert [dict(order.call.headers or {})["X-Request-Id"] for order in orders] == ids


@pytest.mark.parametrize("outcome", CanaryOutcome)
def test_what_the_engine_ended_is_not_aborted(outcome: CanaryOutcome) -> None:
    own = Unended()
    own.note(canary(OWN[0], CanaryOutcome.IN_PROGRESS))
    assert own.ids == OWN[:1]
    own.note(canary(OWN[0], outcome))
    cut = {"InProgress", "NoFirstToken", "TokenGap", "ErrorInStream", "Incomplete", "Withdrawn"}
    assert bool(own.ids) is (outcome.value in cut)


def test_the_newest_are_kept_and_a_new_engine_knows_none() -> None:
    ids = tuple(request_id("p", "0" * 16, number) for number in range(KEPT + 5))
    own = unended(ids)
    assert own.ids == ids[5:]
    own.clear()
    assert own.ids == ()
