"""The metrics page against the recorded one: names, types, labels and buckets."""

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.fault_engine.process import EngineProcess, complete, http
from tests.fault_engine.recording import FOLDER

# What a watchdog reads; the page has a few more.
NEEDED = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:num_requests_waiting_by_reason",
    "vllm:kv_cache_usage_perc",
    "vllm:prefix_cache_queries",
    "vllm:prefix_cache_hits",
    "vllm:generation_tokens",
    "vllm:prompt_tokens",
    "vllm:request_success",
    "vllm:admission_rejections",
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:e2e_request_latency_seconds",
    "vllm:iteration_tokens_total",
    "vllm:engine_sleep_state",
    "process_start_time_seconds",
    "process_cpu_seconds",
    "process_resident_memory_bytes",
}


def series(family: Metric) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples}


def families(page: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(page)}


def test_every_family_is_as_recorded(engine: EngineProcess) -> None:
    assert complete(engine).status_code == 200
    ours = families(http.get(f"{engine.url}/metrics").text)
    ours = {name: family for name, family in ours.items() if not name.startswith("http_requests")}  # by what was asked
    recorded = families((FOLDER / "metrics_after.txt").read_text())
    assert ours.keys() >= NEEDED
    assert ours.keys() <= recorded.keys()
    for name in sorted(ours.keys() - {"python_info"}):
        assert ours[name].type == recorded[name].type, name
        assert series(ours[name]) == series(recorded[name]), name


def test_the_page_has_the_recorded_content_type(engine: EngineProcess) -> None:
    assert http.get(f"{engine.url}/metrics").headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"


def test_counters_count_what_was_done(engine: EngineProcess) -> None:
    def counts() -> list[float]:
        names = ("generation_tokens_total", "prompt_tokens_total", 'request_success_total{finished_reason="length"')
        return [engine.metric(name) for name in names]

    before = counts()
    prompt_tokens = complete(engine, max_tokens=5).json()["usage"]["prompt_tokens"]
    after = counts()
    assert [now - then for now, then in zip(after, before, strict=True)] == [5, prompt_tokens, 1]
