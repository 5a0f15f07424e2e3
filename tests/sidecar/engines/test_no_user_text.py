"""Invariant 12: of what an engine tells about its users' requests, a dialect takes numbers and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType
from llm_watchdog.engines.registry import dialect_of
from tests.sidecar.engines import pages

MARKER = "my diagnosis is"
KEYS = ("prompt", "text", "generated", "error", "message", "api_key", "input", "state", "queue", "detail")

BODIES: dict[EngineType, tuple[bytes, ...]] = {
    EngineType.LLAMACPP: (pages.slots(pages.slot(0, busy=True), pages.slot(1, busy=False)), pages.PROPS),
    EngineType.SGLANG: (pages.server_info(), b'{"loads": [{"num_running_reqs": 1, "num_waiting_reqs": 0}]}'),
    EngineType.OLLAMA: (pages.ps(("m", "2026-11-21T12:05:00Z")),),
    EngineType.FASTCHAT: (b'{"model_names": ["m"], "speed": 1, "queue_length": 3}',),
}


def leaking(value: Any) -> Any:
    """The same with a user's words in every object."""
    if isinstance(value, dict):
        return {key: leaking(inner) for key, inner in value.items()} | {
            key: f"{MARKER} {key}" for key in KEYS if key not in value
        }
    return [leaking(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("engine", EngineType)
def test_status_load_and_state_are_read_as_numbers(engine: EngineType) -> None:
    dialect = dialect_of(EngineTarget(type=engine, model="m"))
    bodies = [json.dumps(leaking(json.loads(body))).encode() for body in BODIES.get(engine, (b"{}", b"[]"))]
    read: list[object] = [dialect.read_status(call.name, body) for call in dialect.status_calls for body in bodies]
    read += [dialect.read_load(body) for body in bodies]
    read += [path.read(200, body) for path in dialect.state_paths for body in bodies]
    assert MARKER not in repr(read)


@pytest.mark.parametrize("engine", EngineType)
def test_something_is_read_of_these_bodies(engine: EngineType) -> None:
    """So that the test above cannot pass by reading nothing."""
    dialect = dialect_of(EngineTarget(type=engine, model="m"))
    bodies = [json.dumps(leaking(json.loads(body))).encode() for body in BODIES.get(engine, ())]
    read = [dialect.read_status(call.name, body) for call in dialect.status_calls for body in bodies]
    assert any(read) == bool(bodies)


@pytest.mark.parametrize("engine", EngineType)
def test_labels_of_metrics_are_not_kept(engine: EngineType) -> None:
    pages_by = {
        EngineType.SGLANG: pages.SGLANG_METRICS,
        EngineType.LLAMACPP: pages.LLAMACPP_METRICS,
        EngineType.TGI: pages.TGI_METRICS,
        EngineType.VLLM: 'vllm:num_requests_running{model_name="m"} 1.0\n',
    }
    page = pages_by.get(engine, "")
    told = f'# HELP lora {MARKER}\nlora_requests_info{{adapter="{MARKER}"}} 1.0\n{page}'
    reading = dialect_of(EngineTarget(type=engine, model="m")).read_metrics(told)
    assert (reading is None) == (engine not in pages_by)
    assert MARKER not in repr(reading)
