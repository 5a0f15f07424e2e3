"""What is never sent: refused by the client before a byte leaves, for every dialect, unless what it takes is known."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import httpx
import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType
from llm_watchdog.core.observations import AnswerKind
from llm_watchdog.engines.dialect import Ask, Call, Dialect
from llm_watchdog.engines.forbidden import Fact, Forbidden, refusal
from llm_watchdog.engines.registry import DIALECTS, NEVER, dialect_of
from llm_watchdog.probes.engine_client import EngineClient

EVERYTHING = frozenset(Fact)
RULES = [(engine, rule) for engine, dialect in DIALECTS.items() for rule in dialect.forbidden]


def dialect(engine: EngineType) -> Dialect:
    return dialect_of(EngineTarget(type=engine, model="m", path="/chat", text_field="query"))


def breaking(rule: Forbidden) -> Call:
    path = f"{rule.path}?{rule.query}=true" if rule.query else rule.path
    return Call(method="POST", path=path, body={rule.field: True} if rule.field else None)


def own_calls(of: Dialect) -> list[Call]:
    """All that probes and actions send."""
    ask = Ask(prompt="Count", request_id="llm-watchdog-p-1", max_tokens=4, model="m")
    paths = [path for path in (of.models_path, of.metrics_path, of.load_path, of.version_path) if path]
    paths += [path for state in of.state_paths for path in (state.path, state.confirmed_by) if path]
    status = [call for each in of.status_calls for call in (each.call, *each.older)]
    flush = [of.flush.call] if of.flush else []
    asked = [of.generate(shape, ask) for shape in of.shapes]
    return [of.health, *status, *flush, *asked, *(Call(method="GET", path=path) for path in paths)]


@pytest.mark.parametrize("engine", EngineType)
def test_nothing_that_the_watchdog_sends_is_forbidden(engine: EngineType) -> None:
    of = dialect(engine)
    calls = own_calls(of)
    assert len(calls) >= 2
    assert not [why for call in calls if (why := refusal(call, (*of.forbidden, *NEVER), frozenset()))]


@pytest.mark.parametrize(("engine", "rule"), RULES, ids=lambda value: getattr(value, "path", str(value)))
def test_each_rule_needs_every_fact_that_it_names(engine: EngineType, rule: Forbidden) -> None:
    forbidden, call = dialect(engine).forbidden, breaking(rule)
    for size in range(len(Fact) + 1):
        for known in map(frozenset, combinations(Fact, size)):
            allowed = rule.unless is not None and rule.unless <= known
            assert (refusal(call, forbidden, known) == "") is allowed
    assert rule.why in refusal(call, forbidden, frozenset())


@pytest.mark.parametrize(
    ("engine", "call", "known"),
    [
        ("sglang", Call(method="POST", path="/release_memory_occupation", body={}), {Fact.AWAKE}),
        ("sglang", Call(method="GET", path="/release_memory_occupation", body={"tags": ["weights"]}), set()),
        ("sglang", Call(method="POST", path="/resume_memory_occupation", body={}), {Fact.IDLE, Fact.AWAKE}),
        ("sglang", Call(method="POST", path="/abort_request", body={"abort_all": False, "rid": "x"}), EVERYTHING),
        ("sglang", Call(method="POST", path="/abort_request", body={"rid": ""}), EVERYTHING),
        ("sglang", Call(method="POST", path="/abort_request", body={"rid": None}), EVERYTHING),
        ("sglang", Call(method="POST", path="/abort_request"), EVERYTHING),
        ("vllm", Call(method="POST", path="/resume"), {Fact.IDLE, Fact.RELEASED}),
        ("vllm", Call(method="POST", path="/resume/?x=1"), set()),
        ("vllm", Call(method="POST", path="/reset_prefix_cache?device=gpu&reset_running_requests"), EVERYTHING),
        ("vllm", Call(method="POST", path="/abort_requests"), EVERYTHING),
        ("vllm", Call(method="POST", path="/abort_requests", body={}), EVERYTHING),
        ("vllm", Call(method="POST", path="/abort_requests", body={"request_ids": []}), EVERYTHING),
        ("vllm", Call(method="POST", path="/abort_requests", body={"request_ids": None}), EVERYTHING),
        ("vllm", Call(method="POST", path="/abort_requests", body={"request_ids": ["cmpl-a-0", ""]}), EVERYTHING),
        ("vllm", Call(method="POST", path="/inference/v1/abort_requests", body={}), EVERYTHING),
        ("dbgpt", Call(method="POST", path="/api/worker/apply", body={"apply_type": "restart"}), EVERYTHING),
        ("lazyllm", Call(method="POST", path="/_call", body={"args": ""}), EVERYTHING),
        ("ollama", Call(method="POST", path="/api/generate", body={"model": "m", "keep_alive": 0}), EVERYTHING),
    ],
)
async def test_it_never_reaches_the_engine(engine: str, call: Call, known: set[Fact]) -> None:
    reached: list[httpx.Request] = []

    def arrives(request: httpx.Request) -> httpx.Response:
        reached.append(request)
        return httpx.Response(200)

    rules = dialect(EngineType(engine)).forbidden
    client = EngineClient(8000, lambda: None, httpx.MockTransport(arrives), forbidden=rules)
    answer = await client.call(call, seconds=5, known=frozenset(known))
    await client.aclose()
    assert (answer.kind, reached) == (AnswerKind.NOT_SENT, [])
    assert "is never sent" in answer.detail


@pytest.mark.parametrize(
    ("engine", "call", "known"),
    [
        ("sglang", Call(method="POST", path="/release_memory_occupation", body={}), {Fact.IDLE}),
        ("sglang", Call(method="POST", path="/resume_memory_occupation", body={}), {Fact.RELEASED}),
        ("sglang", Call(method="POST", path="/abort_request", body={"rid": "llm-watchdog-p-1~"}), set()),
        ("vllm", Call(method="POST", path="/resume"), {Fact.AWAKE}),
        ("vllm", Call(method="POST", path="/abort_requests", body={"request_ids": ["cmpl-a-0"]}), set()),
    ],
)
async def test_what_it_takes_is_known(engine: str, call: Call, known: set[Fact]) -> None:
    rules = dialect(EngineType(engine)).forbidden
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    client = EngineClient(8000, lambda: None, transport, forbidden=rules)
    assert (await client.call(call, seconds=5, known=frozenset(known))).is_ok
    await client.aclose()


async def test_a_client_that_does_not_know_its_engine_sends_none_of_what_is_always_forbidden() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    client = EngineClient(8000, lambda: None, transport)
    kinds = {(await client.call(breaking(rule), seconds=5)).kind for rule in NEVER}
    await client.aclose()
    assert kinds == {AnswerKind.NOT_SENT}


@pytest.mark.parametrize(("engine", "rule"), RULES, ids=lambda value: getattr(value, "path", str(value)))
def test_each_rule_is_documented(engine: EngineType, rule: Forbidden) -> None:
    page = (Path(__file__).parents[3] / "docs" / "watchdog.md").read_text()
    rows = [row for row in page.splitlines() if row.startswith(f"| `{engine}` | ")]
    assert any(f"`{rule.path}`" in row for row in rows)
    assert all(said in page for said in (rule.query, rule.field))
