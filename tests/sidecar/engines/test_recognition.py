"""Each engine is told by what it answers, and by nothing that would harm another one."""

from __future__ import annotations

import json

import pytest

from llm_watchdog.api.policy import EngineType
from llm_watchdog.engines.recognition import RECOGNITION_CALLS, recognise
from tests.sidecar.engines import pages
from tests.sidecar.recorded import answer, text

NOT_FOUND = (404, b'{"detail":"Not Found"}')


def said(value: object) -> tuple[int, bytes]:
    return 200, json.dumps(value).encode()


def models(owner: str) -> tuple[int, bytes]:
    return said({"object": "list", "data": [{"id": "m", "object": "model", "owned_by": owner}]})


def routes(*paths: str) -> tuple[int, bytes]:
    return said({"openapi": "3.1.0", "paths": {path: {} for path in paths}})


STATUS = said({"model_names": ["tiny"], "speed": 1, "queue_length": 0})
VLLM_ROUTES = routes("/health", "/load", "/version", "/ping", "/tokenize", "/v1/completions", "/v1/models")


@pytest.mark.parametrize(
    ("answers", "engine"),
    [
        ({"/v1/models": (200, answer("models").content)}, EngineType.VLLM),
        # A key is missing, so the model list says nothing.
        ({"/v1/models": (401, b"{}"), "/version": said({"version": "0.32.0"}), "/openapi.json": VLLM_ROUTES}, "vllm"),
        ({"/v1/models": (401, b"{}"), "/metrics": (200, text("metrics_fresh.txt").encode())}, EngineType.VLLM),
        ({"/v1/models": (401, b"{}"), "/metrics": (200, pages.SGLANG_METRICS.encode())}, EngineType.SGLANG),
        ({"/metrics": (200, pages.LLAMACPP_METRICS.encode())}, EngineType.LLAMACPP),
        ({"/metrics": (200, pages.TGI_METRICS.encode())}, EngineType.TGI),
        ({"/metrics": (500, pages.TGI_METRICS.encode())}, None),
        ({"/version": said({"version": "0.32.0"})}, None),
        # In dev mode vLLM has a /server_info of its own.
        ({"/v1/models": models("vllm"), "/server_info": said({"vllm_config": "..."})}, EngineType.VLLM),
        ({"/v1/models": models("sglang"), "/server_info": (200, pages.server_info())}, EngineType.SGLANG),
        ({"/server_info": NOT_FOUND, "/get_server_info": (200, pages.server_info())}, EngineType.SGLANG),
        ({"/v1/models": models("sglang")}, EngineType.SGLANG),
        ({"/v1/models": models("llamacpp"), "/props": (200, pages.PROPS)}, EngineType.LLAMACPP),
        ({"/props": (200, pages.PROPS)}, EngineType.LLAMACPP),
        (
            {"/info": said({"model_id": "m", "max_concurrent_requests": 128, "version": "3.3.7"}), "/": (200, b"")},
            EngineType.TGI,
        ),
        ({"/": (200, b"Ollama is running"), "/v1/models": models("library")}, EngineType.OLLAMA),
        ({"/api/version": said({"version": "0.12.0"}), "/v1/models": models("library")}, EngineType.OLLAMA),
        # A web page in front of Ollama is not Ollama.
        ({"/": (200, b"<html>"), "/api/version": said({"version": "0.6.0"})}, None),
        ({"/worker_get_status": STATUS}, EngineType.FASTCHAT),
        (
            {"/worker_get_status": STATUS, "/openapi.json": routes("/worker_get_status", "/worker_generate_stream")},
            EngineType.FASTCHAT,
        ),
        # The controller answers for its workers.
        ({"/worker_get_status": STATUS, "/openapi.json": routes("/worker_get_status", "/list_models")}, None),
        ({"/openapi.json": routes("/api/worker/generate_stream", "/api/worker/models/supports")}, EngineType.DBGPT),
        (
            {"/openapi.json": routes("/chat/chat/completions", "/v1/models"), "/v1/models": models("vllm")},
            EngineType.CHATCHAT,
        ),
        ({"/openapi.json": routes("/generate", "/_call")}, None),
        ({"/v1/models": models("somebody")}, EngineType.OPENAI),
        ({"/v1/models": said({"data": []})}, EngineType.OPENAI),
        ({"/v1/models": (500, b'{"data":[]}')}, None),
        ({}, None),
    ],
)
def test_who_it_is(answers: dict[str, tuple[int, bytes]], engine: EngineType | None) -> None:
    assert recognise(answers) == engine
    everything_else = {call.path: NOT_FOUND for call in RECOGNITION_CALLS}
    assert recognise({**everything_else, **answers}) == engine


def test_the_calls_harm_nobody() -> None:
    paths = [call.path for call in RECOGNITION_CALLS]
    assert len(set(paths)) == len(paths)
    # /slots wakes a sleeping llama.cpp; SGLang's /health generates; each of the others reads.
    assert {"/slots", "/health", "/health_generate"}.isdisjoint(paths)
    assert {call.path for call in RECOGNITION_CALLS if call.method != "GET"} == {"/worker_get_status"}
