"""The dialects against what the real vLLM answered, and against what other servers are known to answer."""

from __future__ import annotations

import json

import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType
from llm_watchdog.core.canaries import Content
from llm_watchdog.core.observations import MetricsReading
from llm_watchdog.engines.dialect import Ask, Dialect, StreamEvent, read_models
from llm_watchdog.engines.openai import OpenAI
from llm_watchdog.engines.registry import DIALECTS, dialect_of
from llm_watchdog.engines.vllm import Vllm
from tests.sidecar.recorded import answer, data_lines, text

VLLM = Vllm()


def target(engine: EngineType) -> EngineTarget:
    return EngineTarget(type=engine, model="m", path="/chat", text_field="query")


def events(body: str) -> list[StreamEvent]:
    return [event for line in data_lines(body) if (event := VLLM.read_event(line)) is not None]


@pytest.mark.parametrize("engine", EngineType)
def test_every_engine_type_has_a_dialect_that_asks_in_all_its_shapes(engine: EngineType) -> None:
    dialect: Dialect = dialect_of(target(engine))
    assert set(DIALECTS) == set(EngineType)
    for shape in dialect.shapes:
        call = dialect.generate(shape, Ask(prompt="Count", request_id="llm-watchdog-p-1", max_tokens=4, model="m"))
        assert call.method == "POST"
        assert "Count" in json.dumps(call.body)


@pytest.mark.parametrize("engine", [EngineType.VLLM, EngineType.OPENAI])
def test_an_openai_canary_is_a_short_stream_at_temperature_0_under_an_id_of_its_own(engine: EngineType) -> None:
    dialect: Dialect = dialect_of(target(engine))
    for shape in dialect.shapes:
        call = dialect.generate(shape, Ask(prompt="Count", request_id="llm-watchdog-p-1", max_tokens=4, model="m"))
        assert call.headers == {"X-Request-Id": "llm-watchdog-p-1"}
        body = json.loads(json.dumps(call.body))
        assert (body["stream"], body["temperature"], body["max_tokens"], body["model"]) == (True, 0, 4, "m")
        assert len(json.dumps(call.body)) < 400
    without = dialect.generate(dialect.shapes[0], Ask(prompt="Count", request_id="x", max_tokens=4))
    assert "model" not in (without.body or {})


@pytest.mark.parametrize(
    ("name", "tokens"), [("completion_stream", 8), ("completion_ignore_eos", 8), ("chat_stream", 8)]
)
def test_recorded_streams_have_their_tokens_and_their_end(name: str, tokens: int) -> None:
    seen = events(answer(name).text)
    assert sum(event.tokens for event in seen) == tokens
    assert [event.finish for event in seen if event.finish] == ["length"]
    assert not any(event.error for event in seen)


def test_the_role_chunk_of_a_chat_is_no_token() -> None:
    first = data_lines(answer("chat_stream").text)[0]
    assert '"role":"assistant"' in first
    assert VLLM.read_event(first) == StreamEvent()


def test_prompt_token_ids_are_no_generated_tokens() -> None:
    first = data_lines(answer("chat_stream_contusage").text)[0]
    assert '"prompt_token_ids":[' in first
    seen = VLLM.read_event(first)
    assert seen is not None
    assert (seen.tokens, seen.content.token_ids) == (0, ())


def test_the_death_of_the_engine_is_an_error_inside_a_200() -> None:
    error, *rest = events(text("stream_engine_death.sse"))
    assert error.error is not None
    assert "EngineCore" in error.error
    assert error.error_status == 500
    assert rest == [StreamEvent(end=True)]


def test_an_abort_is_an_end_without_a_token() -> None:
    assert events(text("stream_abort_by_pause.sse")) == [StreamEvent(finish="abort"), StreamEvent(end=True)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("[DONE]", StreamEvent(end=True)),
        ("", None),
        ("{", None),
        ("[" * 100_000, None),
        ("null", None),
        ('{"choices":[]}', None),
        ('{"choices":null,"usage":{}}', None),
        ('{"choices":[null]}', None),
        ('{"choices":[],"usage":{"completion_tokens":3}}', StreamEvent(content=Content(completion_tokens=3))),
        ('{"object":"ping"}', None),
        ('{"choices":[{"delta":{}}]}', StreamEvent()),
        ('{"choices":[{"delta":{"content":null}}]}', StreamEvent()),
        ('{"choices":[{"delta":{"reasoning_content":"hm"}}]}', StreamEvent(tokens=1, content=Content(text="hm"))),
        ('{"choices":[{"delta":{"reasoning":"hm"}}]}', StreamEvent(tokens=1, content=Content(text="hm"))),
        ('{"choices":[{"text":"","token_ids":[2]}]}', StreamEvent(tokens=1, content=Content(token_ids=(2,)))),
        (
            '{"choices":[{"text":"a b","token_ids":[2,3]}]}',
            StreamEvent(tokens=2, content=Content(text="a b", token_ids=(2, 3))),
        ),
        (
            '{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}',
            StreamEvent(tokens=1, finish="stop", content=Content(text="hi")),
        ),
        ('{"error":"overloaded"}', StreamEvent(error="overloaded")),
        ('{"error":{"code":"x"}}', StreamEvent(error="{'code': 'x'}")),
    ],
)
def test_events_of_all_kinds_of_servers(data: str, expected: StreamEvent | None) -> None:
    assert OpenAI().read_event(data) == expected


def test_the_recorded_metrics_page() -> None:
    assert VLLM.read_metrics(text("metrics_after.txt")) == MetricsReading(
        running=0.0,
        waiting=0.0,
        kv_usage=0.0,
        prompt_tokens=37.0,
        generation_tokens=45.0,
        process_start=1.79522241939e09,
        asleep=False,
        cache_hits=0.0,
        finished=7.0,
        first_token_sum=15.849307537078857,
        first_token_count=7.0,
    )


def test_old_names_several_ranks_and_a_sleep() -> None:
    page = """
vllm:num_requests_running{engine="0",model_name="a"} 2.0
vllm:num_requests_running{engine="1",model_name="a"} 1.0
vllm:num_requests_waiting{engine="0",model_name="a"} 4.0
vllm:gpu_cache_usage_perc{engine="0",model_name="a"} 0.25
vllm:engine_sleep_state{engine="0",sleep_state="awake"} 0.0
vllm:engine_sleep_state{engine="0",sleep_state="weights_offloaded"} 1.0
vllm:generation_tokens_total{engine="0",model_name="a, \\"b\\" {c}"} NaN
"""
    assert VLLM.read_metrics(page) == MetricsReading(running=3.0, waiting=4.0, kv_usage=0.25, asleep=True)


def test_a_wake_that_failed_is_counted_by_the_engine_itself() -> None:
    """Whoever asked for it; a wake that worked and a failed request of another kind are none."""
    lines = [
        "vllm:num_requests_running 0",
        'http_requests_total{handler="/wake_up",method="POST",status="2xx"} 4.0',
        'http_requests_total{handler="/v1/completions",method="POST",status="5xx"} 9.0',
    ]
    failed = 'http_requests_total{handler="/wake_up",method="POST",status="5xx"} 2.0'
    for page, errors in ((lines[:1], None), (lines, 0.0), ([*lines, failed], 2.0)):
        reading = Vllm().read_metrics("\n".join(page))
        assert reading is not None
        assert reading.wake_errors == errors


@pytest.mark.parametrize(
    "page", ["", "<html>", "vllm:num_requests_running{", "vllm:num_requests_running x", "\x00" * 99]
)
def test_what_is_no_metrics_page_is_none(page: str) -> None:
    assert VLLM.read_metrics(page) is None


def test_other_bodies() -> None:
    assert read_models(answer("models").content) == ("tiny",)
    assert read_models(b'{"data":[{"id":"a"},{"id":1},null,{"id":"b"}]}') == ("a", "b")
    assert read_models(b"no") == ()
    assert VLLM.read_load(answer("load").content) == 0
    assert VLLM.read_load(b"{}") is None
    sleeping, paused = VLLM.state_paths
    assert sleeping.read(200, answer("is_sleeping").content) is False
    assert paused.read(200, answer("is_paused").content) is False
    assert paused.read(200, b'{"is_paused":"yes"}') is None
    assert paused.read(503, b'{"is_paused":true}') is None
