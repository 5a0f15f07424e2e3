"""Metrics pages and status bodies, written from the names that the engines document."""

from __future__ import annotations

import json
from typing import Any

SGLANG_METRICS = """
# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 3.0
sglang:num_queue_reqs{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 2.0
sglang:token_usage{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 0.28
sglang:num_used_tokens{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 123859.0
sglang:gen_throughput{engine_type="unified",model_name="m",pp_rank="0",tp_rank="0"} 86.5
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="m"} 8128902.0
sglang:generation_tokens_total{model_name="m"} 7557572.0
# TYPE sglang:realtime_tokens_total counter
sglang:realtime_tokens_total{mode="prefill_compute",model_name="m",tp_rank="0"} 4000.0
sglang:realtime_tokens_total{mode="prefill_cache",model_name="m",tp_rank="0"} 500.0
sglang:realtime_tokens_total{mode="decode",model_name="m",tp_rank="0"} 1200.0
# TYPE sglang:num_requests_total counter
sglang:num_requests_total{model_name="m"} 77.0
# TYPE sglang:time_to_first_token_seconds histogram
sglang:time_to_first_token_seconds_sum{model_name="m"} 2.5
sglang:time_to_first_token_seconds_bucket{le="0.1",model_name="m"} 70.0
sglang:time_to_first_token_seconds_count{model_name="m"} 77.0
"""

SGLANG_ALL_RANKS = """
sglang:num_running_reqs{dp_rank="0",tp_rank="0"} 3.0
sglang:num_running_reqs{dp_rank="0",tp_rank="1"} 3.0
sglang:num_running_reqs{dp_rank="1",tp_rank="0"} 1.0
sglang:num_running_reqs{dp_rank="1",tp_rank="1"} 1.0
"""

LLAMACPP_METRICS = """
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 120
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 340
# TYPE llamacpp:n_decode_total counter
llamacpp:n_decode_total 350
# TYPE llamacpp:n_busy_slots_per_decode counter
llamacpp:n_busy_slots_per_decode 1.2
# TYPE llamacpp:predicted_tokens_seconds gauge
llamacpp:predicted_tokens_seconds 33.1
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 1
"""

TGI_METRICS = """
# TYPE tgi_request_count counter
tgi_request_count 12
# TYPE tgi_request_success counter
tgi_request_success 9
# TYPE tgi_request_failure counter
tgi_request_failure{err="generation"} 1
tgi_request_failure{err="overloaded"} 1
# TYPE tgi_batch_inference_count counter
tgi_batch_inference_count{method="prefill"} 11
tgi_batch_inference_count{method="decode"} 420
# TYPE tgi_queue_size gauge
tgi_queue_size 1
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 4
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_sum 800
tgi_request_generated_tokens_count 9
"""


def server_info(**more: object) -> bytes:
    state = {"last_gen_throughput": 129.3, "memory_usage": {}, "effective_max_running_requests_per_dp": 128}
    info = {"model_path": "/models/m", "tp_size": 1, "enable_memory_saver": False, "max_running_requests": None}
    return json.dumps({**info, "internal_states": [state, state], "version": "0.5.23", **more}).encode()


def slot(number: int, *, busy: bool, decoded: int = 0, task: int = 5, **more: object) -> dict[str, Any]:
    token = {"has_next_token": busy, "n_remain": 10, "n_decoded": decoded}
    said = {"id": number, "id_task": task, "n_ctx": 4096, "is_processing": busy, "next_token": [token]}
    return {**said, "n_prompt_tokens": 62, "n_prompt_tokens_processed": 62, **more}


def slots(*found: dict[str, Any]) -> bytes:
    return json.dumps(found).encode()


PROPS = json.dumps(
    {
        "default_generation_settings": {},
        "total_slots": 4,
        "model_path": "m.gguf",
        "is_sleeping": False,
        "build_info": "b1",
    }
).encode()


def ps(*models: tuple[str, str]) -> bytes:
    """Models by name and end of their stay."""
    entries = [{"name": name, "model": name, "size": 1, "size_vram": 1, "expires_at": ends} for name, ends in models]
    return json.dumps({"models": entries}).encode()
