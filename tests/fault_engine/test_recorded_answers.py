"""The recorded calls are made again: the answers have the same status, headers and fields."""

import json

import httpx
import pytest

from tests.fault_engine.process import EngineProcess, http
from tests.fault_engine.recording import Recording, recording, shape, stream_shape

# Answers that hold nothing but what the call fixes.
EXACT = (
    "version",
    "load",
    "is_sleeping",
    "is_paused",
    "pause",
    "resume",
    "sleep0",
    "wake_up0",
    "sleep1",
    "wake_up",
    "sleep2",
    "wake_up",
    "reset_prefix_cache",
    "abort_requests",
    "completion_badmodel",
    "completion_badjson",
    "completion_badsalt",
    "completion_toolong",
)


def call(engine: EngineProcess, recorded: Recording) -> httpx.Response:
    headers = {"content-type": "application/json"} if recorded.request else {}
    return http.request(recorded.method, engine.url + recorded.path, content=recorded.request.encode(), headers=headers)


def check_head(response: httpx.Response, recorded: Recording) -> None:
    assert response.status_code == recorded.status
    assert set(response.headers) == recorded.headers


def test_answers_without_variable_parts_are_identical(engine: EngineProcess) -> None:
    for name in EXACT:
        recorded = recording(name)
        response = call(engine, recorded)
        check_head(response, recorded)
        assert response.text == recorded.body, name


@pytest.mark.parametrize("name", ["health", "ping"])
def test_health_has_no_body(engine: EngineProcess, name: str) -> None:
    recorded = recording(name)
    response = call(engine, recorded)
    check_head(response, recorded)
    assert response.content == b""


@pytest.mark.parametrize("name", ["models", "tokenize", "completion_end", "completion_nostream", "chat_nostream"])
def test_whole_answers_have_the_same_fields(engine: EngineProcess, name: str) -> None:
    recorded = recording(name)
    response = call(engine, recorded)
    check_head(response, recorded)
    assert json.dumps(shape(response.json())) == json.dumps(shape(json.loads(recorded.body)))


@pytest.mark.parametrize("name", ["completion_ignore_eos", "completion_stream", "chat_stream", "chat_stream_contusage"])
def test_streams_have_the_same_chunks_in_the_same_order(engine: EngineProcess, name: str) -> None:
    engine.order("slow", 0.04)  # a server that is starved for a while sends several tokens in one chunk
    recorded = recording(name)
    response = call(engine, recorded)
    check_head(response, recorded)
    assert stream_shape(response.text) == stream_shape(recorded.body)


def test_usage_is_what_was_generated(engine: EngineProcess) -> None:
    recorded = recording("completion_ignore_eos")
    *chunks, usage, done = [event for event in call(engine, recorded).text.split("\n\n") if event]
    documents = [json.loads(chunk.removeprefix("data: ")) for chunk in chunks]
    last = json.loads(usage.removeprefix("data: "))
    assert done == "data: [DONE]"
    assert sum(len(document["choices"][0]["token_ids"]) for document in documents) == 8
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 8
    assert last["usage"]["prompt_tokens"] == len(documents[0]["choices"][0]["prompt_token_ids"])


def test_the_shape_notices_a_missing_and_an_additional_field() -> None:
    whole = json.loads(recording("completion_end").body)
    assert shape(whole) != shape({key: value for key, value in whole.items() if key != "usage"})
    assert shape(whole) != shape(whole | {"surplus": 1})
    assert json.dumps(shape(whole)) != json.dumps(shape(dict(reversed(whole.items()))))


def test_the_stream_shape_notices_another_order() -> None:
    first, *rest = stream_shape(recording("completion_ignore_eos").body)
    assert len(rest) == 4  # middle, last, usage, [DONE]
    assert first != rest[0]
