"""What each dialect makes of its engine's metrics pages and status bodies, and how it asks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from llm_watchdog.api.policy import EngineType
from llm_watchdog.core.observations import MetricsReading, StatusReading
from llm_watchdog.engines.dialect import Ask, Dialect
from llm_watchdog.engines.json_bodies import as_number
from llm_watchdog.engines.llamacpp import LlamaCpp
from llm_watchdog.engines.ollama import STOPPING, Ollama
from llm_watchdog.engines.registry import DIALECTS
from llm_watchdog.engines.sglang import MEMORY_SAVER, SGLang
from llm_watchdog.engines.tgi import Tgi
from llm_watchdog.engines.vllm import Vllm
from tests.sidecar.engines import pages
from tests.sidecar.recorded import answer

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OLLAMA = Ollama(now=lambda: NOW)
ASK = Ask(prompt="Count", request_id="llm-watchdog-p-1", max_tokens=4, model="m")


def body(dialect: Dialect, ask: Ask) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads(json.dumps(dialect.generate(dialect.shapes[0], ask).body))
    return asked


def test_sglang_progress_is_the_realtime_counter_as_the_others_move_at_the_end_of_a_request() -> None:
    assert SGLang().read_metrics(pages.SGLANG_METRICS) == MetricsReading(
        running=3.0,
        waiting=2.0,
        kv_usage=0.28,
        prompt_tokens=4000.0,
        generation_tokens=1200.0,
        progress=5700.0,
        finished=77.0,
        first_token_sum=2.5,
        first_token_count=77.0,
    )
    older = "\n".join(line for line in pages.SGLANG_METRICS.splitlines() if "realtime" not in line)
    reading = SGLang().read_metrics(older)
    assert reading is not None
    assert (reading.generation_tokens, reading.prompt_tokens, reading.progress) == (None, None, None)


def test_sglang_ranks_of_one_tensor_parallel_group_are_counted_once() -> None:
    assert SGLang().read_metrics(pages.SGLANG_ALL_RANKS) == MetricsReading(running=4.0)


def test_llamacpp_progress_is_the_decode_counter() -> None:
    expected = MetricsReading(running=2.0, waiting=1.0, progress=350.0)
    assert LlamaCpp().read_metrics(pages.LLAMACPP_METRICS) == expected


def test_tgi_progress_is_the_count_of_batches() -> None:
    expected = MetricsReading(running=4.0, waiting=1.0, progress=431.0, finished=11.0)
    assert Tgi().read_metrics(pages.TGI_METRICS) == expected


@pytest.mark.parametrize("engine", [EngineType.SGLANG, EngineType.LLAMACPP, EngineType.TGI, EngineType.VLLM])
def test_the_page_of_another_engine_says_nothing(engine: EngineType) -> None:
    others = {
        EngineType.SGLANG: pages.SGLANG_METRICS,
        EngineType.LLAMACPP: pages.LLAMACPP_METRICS,
        EngineType.TGI: pages.TGI_METRICS,
    }
    dialect = DIALECTS[engine]()
    assert all(dialect.read_metrics(page) is None for other, page in others.items() if other is not engine)


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("server_info", pages.server_info(), StatusReading(slots=256)),
        (
            "server_info",
            pages.server_info(internal_states=[{}], max_running_requests=64),
            StatusReading(slots=64),
        ),
        ("server_info", pages.server_info(enable_memory_saver=True), StatusReading(slots=256, no_canary=MEMORY_SAVER)),
        ("server_info", b'{"vllm_config": {}}', None),
        ("server_info", b"{}", None),
        ("loads", b'{"loads":[{"num_running_reqs":3,"num_waiting_reqs":1}]}', StatusReading(busy=3, waiting=1)),
        (
            "loads",
            b'{"loads":[{"num_running_reqs":3,"num_waiting_reqs":1},{"num_running_reqs":2,"num_waiting_reqs":0}]}',
            StatusReading(busy=5, waiting=1),
        ),
        ("loads", b'[{"dp_rank":0,"num_reqs":3,"num_waiting_reqs":1}]', StatusReading(busy=2, waiting=1)),
        ("loads", b'{"loads":[]}', None),
        ("loads", b'{"loads":[{"num_running_reqs":true}]}', None),
        ("other", pages.server_info(), None),
    ],
)
def test_status_of_sglang(name: str, said: bytes, expected: StatusReading | None) -> None:
    assert SGLang().read_status(name, said) == expected


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("props", pages.PROPS, StatusReading(slots=4, unloaded=False)),
        ("props", b'{"total_slots":1}', StatusReading(slots=1)),
        ("props", b'{"total_slots":1,"is_sleeping":true}', StatusReading(slots=1, unloaded=True)),
        ("props", b'{"error":{"message":"Loading model"}}', None),
        ("slots", b"[]", None),
        ("slots", b'{"error":{}}', None),
        ("other", pages.PROPS, None),
    ],
)
def test_status_of_llamacpp(name: str, said: bytes, expected: StatusReading | None) -> None:
    assert LlamaCpp().read_status(name, said) == expected


IDLE, WORKING = pages.slot(0, busy=False), pages.slot(1, busy=True, decoded=4)


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ((IDLE, WORKING), (IDLE, WORKING), False),
        ((IDLE, WORKING), (IDLE, pages.slot(1, busy=True, decoded=5)), True),
        ((IDLE, WORKING), ({**IDLE, "n_prompt_tokens": 9}, WORKING), False),
        ((WORKING,), (pages.slot(1, busy=True, decoded=4, n_prompt_tokens_processed=63),), True),
        ((WORKING,), (pages.slot(1, busy=True, decoded=4, task=6),), True),
        # The sum of both is the same: one ended while the other began.
        (
            (pages.slot(0, busy=True, decoded=3), pages.slot(1, busy=True, decoded=5)),
            (pages.slot(0, busy=True, decoded=5), pages.slot(1, busy=True, decoded=3)),
            True,
        ),
        # Before 2025-08 the token was no list.
        (
            (pages.slot(0, busy=True, next_token={"n_decoded": 3}),),
            (pages.slot(0, busy=True, next_token={"n_decoded": 4}),),
            True,
        ),
    ],
)
def test_slots_of_llamacpp_that_work_move(
    before: tuple[dict[str, Any], ...], after: tuple[dict[str, Any], ...], *, moved: bool
) -> None:
    one, other = (LlamaCpp().read_status("slots", pages.slots(*found)) for found in (before, after))
    assert one is not None
    assert other is not None
    assert (one.slots, one.busy) == (len(before), sum(slot["is_processing"] for slot in before))
    assert (one.progress != other.progress) is moved


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (pages.ps(), StatusReading(loaded=())),
        (
            pages.ps(("llama3:latest", "2026-11-21T12:04:59.123456789Z")),
            StatusReading(loaded=("llama3:latest", "llama3"), unloads_in=299.123456),
        ),
        (
            pages.ps(("a:7b", "2318-09-20T03:47:16.854775807+01:00")),
            StatusReading(loaded=("a:7b",), unloads_in=9209170036.854774),
        ),
        (
            pages.ps(("a:7b", "2026-11-21T11:59:59Z")),
            StatusReading(loaded=("a:7b",), unloads_in=-1.0, leaving=STOPPING),
        ),
        (
            pages.ps(("a:7b", "2026-11-21T12:30:00+02:00")),
            StatusReading(loaded=("a:7b",), unloads_in=-5400.0, leaving=STOPPING),
        ),
        (pages.ps(("a:7b", "0001-01-01T00:00:00Z")), StatusReading(loaded=("a:7b",))),
        (pages.ps(("a:7b", "0001-01-01T00:00:00+14:00")), StatusReading(loaded=("a:7b",))),
        (pages.ps(("a:7b", "soon"), ("b", "2026-11-21T11:59:59")), StatusReading(loaded=("a:7b", "b"))),
        (b'{"models":null}', None),
        (b'{"error":"x"}', None),
    ],
)
def test_models_in_the_memory_of_ollama(said: bytes, expected: StatusReading | None) -> None:
    assert OLLAMA.read_status("ps", said) == expected


def test_ollama_is_never_told_anything_about_the_runner_or_the_stay_of_the_model() -> None:
    for ask in (ASK, replace(ASK, free_stop=True, logprobs=True, cold="c0ffee")):
        asked = body(Ollama(), ask)
        assert set(asked["options"]) <= {"temperature", "seed", "num_predict"}
        assert "keep_alive" not in asked
        assert asked["stream"] is True


@pytest.mark.parametrize(
    ("dialect", "field", "plain"),
    [
        (Vllm(), ("ignore_eos",), True),
        (SGLang(), ("sampling_params", "ignore_eos"), True),
        (LlamaCpp(), ("ignore_eos",), True),
    ],
)
def test_a_plain_canary_is_not_ended_by_the_model(dialect: Dialect, field: tuple[str, ...], *, plain: bool) -> None:
    def said(ask: Ask) -> object:
        value: Any = body(dialect, ask)
        for name in field:
            value = value.get(name)
        return value

    assert said(ASK) is plain
    assert said(replace(ASK, free_stop=True)) is None


@pytest.mark.parametrize(
    ("dialect", "field", "cold"),
    [(Vllm(), "cache_salt", "c0ffee"), (SGLang(), "extra_key", "c0ffee"), (LlamaCpp(), "cache_prompt", False)],
)
def test_a_cold_canary_bypasses_the_cache(dialect: Dialect, field: str, cold: object) -> None:
    assert body(dialect, replace(ASK, cold="c0ffee"))[field] == cold
    assert field not in body(dialect, ASK)


@pytest.mark.parametrize("engine", DIALECTS)
def test_a_canary_goes_under_its_own_id_and_asks_for_no_more_than_it_may(engine: EngineType) -> None:
    dialect = DIALECTS[engine]()
    for shape in dialect.shapes:
        call = dialect.generate(shape, replace(ASK, max_tokens=47))
        assert (call.headers or {}).get("X-Request-Id") == ASK.request_id
        assert "47" in json.dumps(call.body)


def test_vllm_counts_a_base_model_with_its_adapters_and_other_names_as_one() -> None:
    entries = [
        {"id": "qwen", "root": "/models/qwen", "parent": None},
        {"id": "qwen-again", "root": "/models/qwen", "parent": None},
        {"id": "sql", "root": "/adapters/sql", "parent": "qwen"},
    ]
    listed = json.dumps({"data": entries}).encode()
    assert Vllm().read_models(listed) == ("qwen",)
    assert Vllm().read_models(answer("models").content) == ("tiny",)
    assert Vllm().read_models(b'{"data":[{"id":"a"},{"id":"b"},null,{"id":1}]}') == ("a", "b")
    assert Vllm().read_models(b"null") == ()


def test_vllm_counts_what_is_finished_and_what_is_corrupted() -> None:
    page = """
vllm:num_requests_running{engine="0"} 1
vllm:request_success_total{engine="0",finished_reason="stop"} 3
vllm:request_success_total{engine="0",finished_reason="length"} 4
vllm:corrupted_requests_total{engine="0"} 2
"""
    assert Vllm().read_metrics(page) == MetricsReading(running=1.0, finished=7.0, corrupted=2.0)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (-0.5, -0.5),
        (1, 1.0),
        (None, None),
        (True, None),
        ("1", None),
        (math.nan, None),
        (-math.inf, None),
        (10**400, None),
    ],
)
def test_numbers_as_servers_write_them(value: object, number: float | None) -> None:
    assert as_number(value) == number
    event = {"choices": [{"text": "a", "logprobs": {"token_logprobs": [value]}}]}
    seen = Vllm().read_event(json.dumps(event))
    assert seen is not None
    assert seen.content.logprobs == (number,)
