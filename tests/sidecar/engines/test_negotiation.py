"""A canary that is refused is asked in other words until they please, and no longer."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from llm_watchdog.api.policy import CanaryPolicy, EngineTarget, EngineType
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.engines.dialect import Ask
from llm_watchdog.engines.negotiation import Concession, Manner, next_manner, plan
from llm_watchdog.engines.openai import OpenAI
from llm_watchdog.engines.vllm import Vllm
from llm_watchdog.probes.canary import CanaryProbe
from llm_watchdog.probes.engine_client import EngineClient
from llm_watchdog.probes.questions import Questions

SHAPES = ("completions", "chat")
TARGET = EngineTarget(type=EngineType.OPENAI, model="m")
GOOD = {"choices": [{"text": " four", "message": {"content": "four"}, "finish_reason": "length"}]}


class Picky:
    """An OpenAI-compatible server that takes requests of one manner only."""

    def __init__(self, **rules: object) -> None:
        self.paths = rules.get("paths", ("/v1/completions", "/v1/chat/completions"))
        self.refused: dict[str, str] = rules.get("refused", {})  # type: ignore[assignment]
        self.least: int = rules.get("least", 1)  # type: ignore[assignment]
        self.says_why: bool = rules.get("says_why", True)  # type: ignore[assignment]
        self.status: int = rules.get("status", 400)  # type: ignore[assignment]
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        if request.url.path not in self.paths:  # type: ignore[operator]
            return httpx.Response(404, json={"detail": "Not Found"})
        complaints = [said for field, said in self.refused.items() if field in body]
        if body.get("max_tokens", body.get("max_completion_tokens", self.least)) < self.least:
            complaints.append(f"integer below minimum value. Expected a value >= {self.least}, but got 4 instead.")
        if not complaints and self.status == 400:
            return httpx.Response(200, json=GOOD)
        return httpx.Response(self.status, json={"error": {"message": complaints[0] if self.says_why else "no"}})


MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
)
TEMPERATURE = "Unsupported value: 'temperature' does not support 0 with this model."


async def ask(server: Picky, times: int, questions: Questions | None = None) -> list[CanaryObservation]:
    client = EngineClient(8000, lambda: None, httpx.MockTransport(server))
    questions = questions or Questions(client, OpenAI(), "p")
    probe = CanaryProbe(client, OpenAI(), lambda: 0.0)
    seen: list[CanaryObservation] = []
    for _ in range(times):
        order = await questions.order(TARGET, CanaryPolicy())
        seen.append(await probe.send(order, lambda _: None))
        questions.learn(seen[-1], answered=any(canary.tokens for canary in seen))
        if seen[-1].outcome is CanaryOutcome.SUCCEEDED:
            break
    return seen


@pytest.mark.parametrize("says_why", [True, False])
@pytest.mark.parametrize(
    "rules",
    [
        {"refused": {"max_tokens": MAX_TOKENS}},
        {"refused": {"temperature": TEMPERATURE}},
        {"refused": {"seed": "Unrecognized request argument supplied: seed"}},
        {"refused": {"stream_options": "stream_options is not allowed"}},
        {"least": 16},
        {"paths": ("/v1/chat/completions",)},
        {"paths": ("/v1/chat/completions",), "refused": {"temperature": TEMPERATURE}},
        {"paths": ("/v1/chat/completions",), "refused": {"max_tokens": MAX_TOKENS, "temperature": TEMPERATURE}},
        {"refused": {"max_tokens": MAX_TOKENS, "temperature": TEMPERATURE, "seed": "seed"}, "least": 16},
    ],
)
async def test_every_picky_server_is_pleased_in_the_end(rules: dict[str, object], *, says_why: bool) -> None:
    server = Picky(**rules, says_why=says_why)
    seen = await ask(server, len(plan(SHAPES)))
    assert seen[-1].outcome is CanaryOutcome.SUCCEEDED
    assert seen[-1].max_tokens in (4, 16)
    assert all("max_tokens" in body or "max_completion_tokens" in body for body in server.bodies)


async def test_a_server_that_says_what_it_wants_gets_it_at_once() -> None:
    server = Picky(paths=("/v1/chat/completions",), refused={"max_tokens": MAX_TOKENS, "temperature": TEMPERATURE})
    assert len(await ask(server, 9)) == 4
    assert server.bodies[-1]["max_completion_tokens"] == 4
    assert {"max_tokens", "temperature"}.isdisjoint(server.bodies[-1])
    assert "seed" in server.bodies[-1]


async def test_what_worked_is_remembered() -> None:
    server = Picky(least=16)
    client = EngineClient(8000, lambda: None, httpx.MockTransport(server))
    questions = Questions(client, OpenAI(), "p")
    await ask(server, 9, questions)
    asked = len(server.bodies)
    assert len(await ask(server, 1, questions)) == 1
    assert [body["max_tokens"] for body in server.bodies[asked:]] == [16]
    call = questions.put(Ask(prompt="x", request_id="i", max_tokens=2))
    assert (call.body or {})["max_tokens"] == 16


async def test_every_shape_that_may_come_is_announced() -> None:
    server = Picky(paths=("/v1/chat/completions",), least=16, says_why=False)
    client = EngineClient(8000, lambda: None, httpx.MockTransport(server))
    questions = Questions(client, OpenAI(), "p")
    seen = await ask(server, 20, questions)
    assert {canary.shape for canary in seen} <= questions.shapes(CanaryPolicy())
    assert seen[-1].shape == "chat/16"


@pytest.mark.parametrize("status", [401, 402, 403, 429])
async def test_the_key_the_bill_and_a_full_queue_are_not_negotiated(status: int) -> None:
    server = Picky(status=status, says_why=False)
    await ask(server, 5)
    assert all(body == server.bodies[0] for body in server.bodies)


def refusal(status: int = 400, said: str = "no") -> CanaryObservation:
    return CanaryObservation(
        id="x", shape="s", started_at=0, outcome=CanaryOutcome.REJECTED, http_status=status, detail=said
    )


SUCCESS = CanaryObservation(id="y", shape="s", started_at=0, outcome=CanaryOutcome.SUCCEEDED, tokens=4)


async def body_of(questions: Questions) -> dict[str, Any]:
    return dict((await questions.order(TARGET, CanaryPolicy())).call.body or {})


async def test_a_refusal_after_a_success_is_not_negotiated_until_the_engine_starts_anew() -> None:
    questions = Questions(EngineClient(8000, lambda: None), OpenAI(), "p")
    before = await body_of(questions)
    questions.learn(SUCCESS, answered=True)
    questions.learn(refusal(), answered=True)
    assert await body_of(questions) == before
    questions.learn(refusal(), answered=False)
    assert await body_of(questions) != before


async def test_a_watchdog_that_takes_over_a_known_engine_negotiates_for_itself() -> None:
    """The journal says that the engine had answered a canary, of a manner that this process does not know."""
    questions = Questions(EngineClient(8000, lambda: None), OpenAI(), "p")
    before = await body_of(questions)
    questions.learn(refusal(), answered=True)
    assert await body_of(questions) != before


@pytest.mark.parametrize("status", [404, 405])
async def test_a_missing_path_changes_the_shape_only(status: int) -> None:
    questions = Questions(EngineClient(8000, lambda: None), OpenAI(), "p")
    questions.learn(refusal(status), answered=False)
    order = await questions.order(TARGET, CanaryPolicy())
    assert order.shape == "chat/4"
    assert (order.call.body or {})["max_tokens"] == 4


async def test_silence_errors_and_our_own_failures_teach_nothing() -> None:
    questions = Questions(EngineClient(8000, lambda: None), OpenAI(), "p")
    before = await body_of(questions)
    for outcome in set(CanaryOutcome) - {CanaryOutcome.REJECTED}:
        questions.learn(CanaryObservation(id="x", shape="s", started_at=0, outcome=outcome), answered=False)
    assert await body_of(questions) == before


def test_the_limit_is_given_up_last_and_never_left_out() -> None:
    manners = plan(SHAPES)
    assert len(set(manners)) == len(manners)
    assert manners[0] == Manner(shape="completions")
    renamed = [m for m in manners if len(m.concessions) > 1 and Concession.MAX_COMPLETION_TOKENS in m.concessions]
    assert renamed == list(manners[-2:])
    for manner in manners:
        body = manner.put(Vllm(), Ask(prompt="x", request_id="i", max_tokens=4)).body or {}
        assert body.get("max_tokens", body.get("max_completion_tokens")) == manner.tokens(4)


def test_one_shape_is_enough() -> None:
    tried: set[Manner] = set()
    current: Manner | None = Manner(shape="generate")
    while current is not None:
        assert current not in tried
        tried.add(current)
        current = next_manner(current, tried, ("generate",), "temperature and seed", no_endpoint=False)
    assert tried >= set(plan(("generate",)))
    assert next_manner(Manner(shape="generate"), set(), ("generate",), "", no_endpoint=True) is None
