"""Slots, queue, disconnects, keys, and what the log says about all that."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.fault_engine.process import EngineProcess, complete, http, soon, streaming

LONG = 4000


async def test_a_client_that_leaves_frees_its_slot(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--max-num-seqs", "1", "--token-seconds", "0.005")
    async with streaming(engine, max_tokens=LONG) as first:
        await soon(lambda: first.tokens > 0)
        async with streaming(engine, max_tokens=LONG, prompt="tell of the hill") as second:
            await soon(lambda: engine.metric("num_requests_waiting") == 1)
            assert engine.metric('num_requests_waiting_by_reason{reason="capacity"}') == 1
            assert (engine.metric("num_requests_running"), second.tokens) == (1, 0)
            async with streaming(engine, max_tokens=3, prompt="tell of the road") as third:
                await soon(lambda: engine.metric("num_requests_waiting") == 2)
                first_left = first.tokens
            await soon(lambda: engine.metric("num_requests_waiting") == 1)
        await soon(lambda: engine.metric("num_requests_waiting") == 0)
    await soon(lambda: engine.metric("num_requests_running") == 0)
    assert (third.tokens, first_left > 0) == (0, True)
    assert complete(engine).status_code == 200
    assert engine.metric('request_success_total{finished_reason="abort"}') == 0
    assert engine.metric("kv_cache_usage_perc") == 0
    assert [event["cut"] for event in engine.events("finished") if event["path"] == "/v1/completions"] == [
        True,
        True,
        True,
        False,
    ]


async def test_the_next_in_the_queue_gets_the_slot(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--max-num-seqs", "1", "--token-seconds", "0.005")
    async with streaming(engine, max_tokens=20) as first, streaming(engine, max_tokens=3) as second:
        await soon(lambda: second.finished)
        assert first.finished
    assert (first.tokens, second.tokens) == (20, 3)


def test_a_stop_string_ends_the_answer_before_it(engine: EngineProcess) -> None:
    words = complete(engine, max_tokens=6).json()["choices"][0]["text"].split()
    choice = complete(engine, max_tokens=6, stop=[words[3]]).json()["choices"][0]
    assert choice["text"].split() == words[:3]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", words[3])


def test_a_repeated_prompt_hits_the_prefix_cache_until_it_is_reset(engine: EngineProcess) -> None:
    prompt = " ".join(["one two three four five six seven eight"] * 6)

    def hits() -> float:
        before = engine.metric("prefix_cache_hits_total")
        complete(engine, prompt=prompt, max_tokens=1)
        return engine.metric("prefix_cache_hits_total") - before

    assert hits() == 0
    assert hits() == 32  # of 48: the block with the last token is always computed
    assert http.post(f"{engine.url}/reset_prefix_cache").json() == {"success": True}
    assert hits() == 0


def test_request_ids_name_the_answer_and_the_log_line(engine: EngineProcess) -> None:
    body = {"prompt": "secret words of a user", "max_tokens": 1}
    headers = {"x-request-id": "canary-7", "user-agent": "a-client"}
    answer = http.post(f"{engine.url}/v1/completions", json=body, headers=headers).json()
    assert answer["id"] == "cmpl-canary-7"
    chat = {"messages": [{"role": "user", "content": "secret words of a user"}], "max_tokens": 1}
    assert http.post(f"{engine.url}/v1/chat/completions", json=chat, headers=headers).json()["id"] == (
        "chatcmpl-canary-7"
    )
    accepted = [event for event in engine.events("accepted") if event["request_id"] == "cmpl-canary-7"]
    finished = [event for event in engine.events("finished") if event["request_id"] == "cmpl-canary-7"]
    assert len(accepted) == len(finished) == 1
    assert finished[0] | {"time": 0, "seconds": 0, "remote": ""} == {
        "time": 0,
        "event": "finished",
        "method": "POST",
        "path": "/v1/completions",
        "remote": "",
        "request_id": "cmpl-canary-7",
        "user_agent": "a-client",
        "status": 200,
        "tokens": 1,
        "seconds": 0,
        "cut": False,
    }
    assert "secret" not in engine.log()


def test_the_key_guards_only_v1(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--key", "sesame", VLLM_SERVER_DEV_MODE="0")
    assert complete(engine).status_code == 401
    assert http.get(f"{engine.url}/v1/models").json() == {"error": "Unauthorized"}
    key = {"authorization": "Bearer sesame"}
    assert http.get(f"{engine.url}/v1/models", headers=key).status_code == 200
    for path in ("/health", "/metrics", "/load", "/version"):
        assert http.get(engine.url + path).status_code == 200
    assert http.get(f"{engine.url}/is_sleeping").status_code == 404  # no development mode


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"prompt": 7}, 400, "body.prompt"),
        ({"prompt": "word " * 1100}, 400, "input_tokens"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"max_tokens": "many"}, 400, "body.max_tokens"),
        ({"n": 2}, 400, "n"),
    ],
)
def test_refusals_have_the_form_of_the_recorded_ones(
    engine: EngineProcess, body: dict[str, Any], status: int, param: str
) -> None:
    response = complete(engine, **body)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["code"], error["param"], set(error)) == (status, param, {"message", "type", "param", "code"})


def test_unknown_paths_and_methods(engine: EngineProcess) -> None:
    assert http.get(f"{engine.url}/nothing").status_code == 404
    assert http.get(f"{engine.url}/v1/completions").status_code == 405
