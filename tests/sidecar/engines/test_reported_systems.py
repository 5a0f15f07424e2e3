"""FastChat, DB-GPT, LazyLLM and Chatchat: what they are asked, and what their other answers say."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from llm_watchdog.api.policy import CanaryPolicy, EngineTarget, EngineType, ProbeCost
from llm_watchdog.core.canaries import Content, Flaw
from llm_watchdog.core.observations import StatusReading
from llm_watchdog.engines.chatchat import Chatchat
from llm_watchdog.engines.dbgpt import DbGpt
from llm_watchdog.engines.dialect import Ask, Dialect, StreamEvent
from llm_watchdog.engines.fastchat import FastChat
from llm_watchdog.engines.lazyllm import LazyLlm
from llm_watchdog.engines.registry import dialect_of
from llm_watchdog.probes.engine_client import EngineClient
from llm_watchdog.probes.questions import NothingToAskError, Questions
from tests.sidecar.engines.replay import recorded

ASK = Ask(prompt="Count", request_id="c-1", max_tokens=4, model="m")
RELAY_TRACEBACK = b"x\n--- traceback ---\nTraceback (most recent call last):\n  ...\nKeyError: 'x'\n"


def body_of(dialect: Dialect, ask: Ask = ASK) -> dict[str, Any]:
    call = dialect.generate(dialect.shapes[0], ask)
    assert call.method == "POST"
    decoded: dict[str, Any] = json.loads(json.dumps(call.body))
    return decoded


def test_a_fastchat_request_never_lacks_what_its_generator_would_raise_for_and_lose_a_slot() -> None:
    assert body_of(FastChat()) == {
        "model": "m",
        "prompt": "Count",
        "temperature": 0,
        "max_new_tokens": 4,
        "echo": False,
    }


def test_fastchat_says_its_models_and_its_queue_in_one_call() -> None:
    dialect = FastChat()
    healthy, leaked = (recorded(f"fastchat/{name}.raw").body for name in ("worker_get_status", "leaked_status"))
    assert dialect.read_models(healthy) == ("tiny",)
    assert dialect.read_status("worker_get_status", healthy) == StatusReading(busy=0, abandoned_stay=True)
    assert dialect.read_status("worker_get_status", leaked) == StatusReading(busy=5, abandoned_stay=True)
    assert dialect.read_status("worker_get_status", b'{"queue_length":-1}') is None
    assert dialect.read_status("another", healthy) is None
    (call,) = dialect.status_calls
    assert (call.call.method, call.call.path, call.takes_slot) == ("POST", "/worker_get_status", False)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"text":"CUDA","error_code":50002}', StreamEvent(error="error_code 50002: CUDA", flaw=Flaw.OUT_OF_MEMORY)),
        ('{"text":"no","error_code":50001}', StreamEvent(error="error_code 50001: no")),
        ('{"text":null,"error_code":0}', None),
        ('{"text":"","error_code":0,"finish_reason":"stop"}', StreamEvent(finish="stop")),
        ('{"text":"ab","error_code":0}', StreamEvent(content=Content(text="ab"))),
    ],
)
def test_fastchat_objects(data: str, expected: StreamEvent | None) -> None:
    assert FastChat().read_event(data) == expected


def test_dbgpt_is_asked_for_a_free_slot_where_its_model_is_named() -> None:
    (call,) = dialect_of(EngineTarget(type=EngineType.DBGPT, model="fake")).status_calls
    assert (call.call.path, call.call.body) == ("/api/worker/model_metadata", {"model": "fake"})
    assert (call.takes_slot, call.seconds) == (True, 2.0)
    assert dialect_of(EngineTarget(type=EngineType.DBGPT)).status_calls == ()


def test_dbgpt_lists_the_models_of_its_registry_beside_other_workers() -> None:
    listed = recorded("dbgpt/controller_models.raw").body
    assert b"WorkerManager@service" in listed
    assert DbGpt().read_models(listed) == ("fake",)
    assert DbGpt().read_models(b'[{"model_name":3},null]') == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # Up to 0.6.
        ('{"text":"a","error_code":0}', StreamEvent(content=Content(text="a"))),
        (
            '{"content":[{"type":"thinking","object":{"data":"h"}},{"type":"text","object":{"data":"i"}}],"error_code":0}',
            StreamEvent(content=Content(text="hi")),
        ),
        (
            '{"content":{"object":{"data":"a"}},"error_code":0,"usage":{"prompt_tokens":2,"completion_tokens":7}}',
            StreamEvent(tokens=7, content=Content(text="a", prompt_tokens=2, completion_tokens=7)),
        ),
        ('{"text":"**GPU OutOfMemory, Please Refresh.**","error_code":1}', Flaw.OUT_OF_MEMORY),
        ('{"text":"...: Error code: 401 - invalid key","error_code":1}', Flaw.UPSTREAM_FAILED),
        ('{"text":"...: list index out of range","error_code":1}', None),
        ('{"error_code":1}', None),
    ],
)
def test_dbgpt_objects(data: str, expected: StreamEvent | Flaw | None) -> None:
    event = DbGpt().read_event(data)
    assert event is not None
    if isinstance(expected, StreamEvent):
        assert event == expected
    else:
        assert event.error is not None
        assert event.flaw is expected


def test_lazyllm_is_asked_at_the_route_that_was_named() -> None:
    dialect = dialect_of(EngineTarget(type=EngineType.LAZYLLM, path="/chat", text_field="query"))
    call = dialect.generate(dialect.shapes[0], ASK)
    assert (call.path, call.body) == ("/chat", {"query": "Count"})
    assert not dialect.pair_is_safe


@pytest.mark.parametrize("target", [{}, {"path": "/chat"}, {"text_field": "query"}])
def test_without_a_route_lazyllm_is_not_asked(target: dict[str, str]) -> None:
    dialect = dialect_of(EngineTarget(type=EngineType.LAZYLLM, **target))  # type: ignore[arg-type]
    client = EngineClient(8000, lambda: None, httpx.MockTransport(lambda _: httpx.Response(500)))
    with pytest.raises(NothingToAskError, match="textField"):
        asyncio.run(
            Questions(client, dialect, "p").order(EngineTarget(type=EngineType.LAZYLLM, model="m"), CanaryPolicy())
        )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("hello ", StreamEvent(tokens=1, content=Content(text="hello "))),
        (" ", StreamEvent(content=Content(text=" "))),
        ("12", StreamEvent(tokens=1, content=Content(text="12"))),
        ("gASVDAAAAAAAAACMCGhlbGxv", StreamEvent(tokens=1, content=Content(text="gASVDAAAAAAAAACMCGhlbGxv"))),
        ("", None),
        ("null", None),
        ("[DONE]", StreamEvent(end=True)),
        ('"hi"', StreamEvent(tokens=1, content=Content(text="hi"))),
        ('{"type":"ping","at":"now"}', None),
        ('{"code":0,"data":{"answer":"hi"}}', StreamEvent(tokens=1, content=Content(text="hi"))),
        ('{"delta":""}', None),
        ('{"choices":[{"delta":{"content":"hi"}}]}', StreamEvent(tokens=1, content=Content(text="hi"))),
        ('{"raw":[{"tag":"runtime_event","runtime_event":{"data":"x"}}]}', StreamEvent()),
        ('{"raw":["{\\"tag\\":\\"think\\",\\"delta\\":\\"hm\\"}"]}', StreamEvent(tokens=1, content=Content(text="hm"))),
        ('{"raw":[{"tag":"tool_call","delta":"x"}]}', StreamEvent()),
        ('{"final":{"content":"all of it"}}', StreamEvent(tokens=1)),
        ('{"error":"Read timed out."}', StreamEvent(error="Read timed out.", flaw=Flaw.UPSTREAM_FAILED)),
        ('{"error":"boom"}', StreamEvent(error="boom")),
    ],
)
def test_lazyllm_events(data: str, expected: StreamEvent | None) -> None:
    assert LazyLlm().read_event(data) == expected


def test_a_message_nested_a_thousand_times_is_walked_through() -> None:
    deep = '{"a":[' * 450 + '{"tag":"text","delta":"x"}' + "]}" * 450
    assert LazyLlm().read_event(deep) == StreamEvent(tokens=1, content=Content(text="x"))


@pytest.mark.parametrize(
    ("dialect", "status", "body", "flaw"),
    [
        (LazyLlm(), 500, b"HTTPConnectionPool(host='x', port=80): Max retries exceeded", Flaw.UPSTREAM_FAILED),
        (LazyLlm(), 500, RELAY_TRACEBACK, None),
        (LazyLlm(), 500, b"CUDA out of memory", Flaw.OUT_OF_MEMORY),
        (LazyLlm(), 401, b"Connection error", None),
        (Chatchat(), 500, b"Internal Server Error", Flaw.UPSTREAM_FAILED),
        (Chatchat(), 422, b"{}", None),
        (FastChat(), 500, b"Internal Server Error", None),
    ],
)
def test_rejections(dialect: Dialect, status: int, body: bytes, flaw: Flaw | None) -> None:
    assert dialect.read_rejection(status, body) is flaw


def test_chatchat_is_sent_no_field_that_its_client_library_does_not_know() -> None:
    known = {"messages", "model", "max_tokens", "temperature", "seed", "stream"}
    assert body_of(Chatchat()).keys() == known
    cold = Ask(prompt="x", request_id="c", max_tokens=4, model="m", cold="salt", logprobs=True)
    assert body_of(Chatchat(), cold).keys() == known | {"logprobs", "top_logprobs"}


@pytest.mark.parametrize("engine", EngineType)
def test_which_engines_are_metered_unless_told_otherwise(engine: EngineType) -> None:
    in_front_of_others = engine in (EngineType.DBGPT, EngineType.LAZYLLM, EngineType.CHATCHAT)
    assert EngineTarget(type=engine).metered is in_front_of_others
    assert EngineTarget(type=engine, probe_cost=ProbeCost.METERED).metered
    assert not EngineTarget(type=engine, probe_cost=ProbeCost.FREE).metered


def test_models_are_asked_for_by_the_dialects_own_method() -> None:
    asked: list[tuple[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        return httpx.Response(200, content=recorded("fastchat/worker_get_status.raw").body)

    questions = Questions(EngineClient(8000, lambda: None, httpx.MockTransport(handler)), FastChat(), "p")
    order = asyncio.run(questions.order(EngineTarget(type=EngineType.FASTCHAT), CanaryPolicy()))
    assert asked == [("POST", "/worker_get_status")]
    assert order.call.body is not None
    assert order.call.body["model"] == "tiny"
