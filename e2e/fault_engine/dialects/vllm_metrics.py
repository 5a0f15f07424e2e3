"""The metrics page, in vLLM's names, labels and buckets. Gauges hold what the last engine step said, hung or not."""

from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.metrics import MetricWrapperBase

from ..meter import Meter
from ..request import Stats
from .exposition import exposition

_Metric = TypeVar("_Metric", bound=MetricWrapperBase)

_UNCOUNTED: Final = frozenset({"/metrics", "/health", "/load", "/ping", "/version", "/server_info"})
_SLEEP_STATES: Final = ("awake", "weights_offloaded", "discard_all")
_FIRST_TOKEN_EDGES: Final = (
    "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 20 40 80 160 640 2560"
)
_GAP_EDGES: Final = "0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1 2.5 5 7.5 10 20 40 80"
_REQUEST_EDGES: Final = "0.3 0.5 0.8 1 1.5 2 2.5 5 10 15 20 30 40 50 60 120 240 480 960 1920 7680"
_STEP_EDGES: Final = "1 8 16 32 64 128 256 512 1024 2048 4096 8192 16384"


class VllmMetrics(Meter):
    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._model = model
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._make_counters()
        self._make_gauges()
        self._make_histograms()
        self.show_sleep(None)

    def page(self) -> bytes:
        return exposition(self.registry)

    def show_step(self, stats: Stats) -> None:
        before = self.stats
        super().show_step(stats)
        self._running.set(stats.running)
        self._waiting.set(stats.waiting)
        self._reasons["deferred" if stats.withheld else "capacity"].set(stats.waiting)
        self._reasons["capacity" if stats.withheld else "deferred"].set(0)
        self._kv_usage.set(stats.kv_usage)
        new_hits = stats.prefix_hits - before.prefix_hits
        self._queries.inc(stats.prefix_queries - before.prefix_queries)
        self._hits.inc(new_hits)
        self._cached.inc(new_hits)
        self._tokens.inc(stats.decoded - before.decoded)

    def show_sleep(self, level: int | None) -> None:
        """Level 0 pauses without releasing anything, and shows none of the three states."""
        shown = {None: "awake", 1: "weights_offloaded", 2: "discard_all"}.get(level)
        for state, gauge in self._sleep.items():
            gauge.set(state == shown)

    def count_first_token(self, seconds: float, prompt_tokens: int) -> None:
        """Prompt tokens count when their prefill has ended, not before."""
        self._first_token.observe(seconds)
        self._prompt_tokens.inc(prompt_tokens)

    def count_tokens(self, gap_seconds: float | None) -> None:
        if gap_seconds is not None:
            self._gaps.observe(gap_seconds)

    def count_step(self, tokens: int) -> None:
        self._step_tokens.observe(tokens)

    def count_finished(self, reason: str, seconds: float, prompt_tokens: int, tokens: int) -> None:
        del prompt_tokens, tokens
        self._finished[reason].inc()
        self._request_seconds.observe(seconds)

    def count_answer(self, method: str, path: str, status: int) -> None:
        if path not in _UNCOUNTED:
            self._answers.labels(path, method, f"{status // 100}xx").inc()

    def count_rejection(self) -> None:
        self._rejected.inc()

    def _labelled(self, metric: _Metric) -> _Metric:
        return metric.labels(engine="0", model_name=self._model)

    def _split(self, metric: _Metric, label: str, values: tuple[str, ...]) -> dict[str, _Metric]:
        return {value: metric.labels(engine="0", model_name=self._model, **{label: value}) for value in values}

    def _gauge(self, name: str, text: str) -> Gauge:
        return self._labelled(Gauge(f"vllm:{name}", text, ["model_name", "engine"], registry=self.registry))

    def _counter(self, name: str, text: str) -> Counter:
        return self._labelled(Counter(f"vllm:{name}", text, ["model_name", "engine"], registry=self.registry))

    def _histogram(self, name: str, text: str, edges: str) -> Histogram:
        labels = ["model_name", "engine"]
        buckets = [float(edge) for edge in edges.split()]
        return self._labelled(Histogram(f"vllm:{name}", text, labels, buckets=buckets, registry=self.registry))

    def _make_gauges(self) -> None:
        self._running = self._gauge("num_requests_running", "Number of requests in model execution batches.")
        self._waiting = self._gauge("num_requests_waiting", "Number of requests waiting to be processed.")
        reasons = Gauge(
            "vllm:num_requests_waiting_by_reason",
            "Number of waiting requests by reason: slots (capacity) or something else (deferred).",
            ["model_name", "engine", "reason"],
            registry=self.registry,
        )
        self._reasons = self._split(reasons, "reason", ("capacity", "deferred"))
        self._kv_usage = self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.")
        sleep = Gauge(
            "vllm:engine_sleep_state",
            "Which of the three states the engine is in: 1 for that one.",
            ["model_name", "engine", "sleep_state"],
            registry=self.registry,
        )
        self._sleep = self._split(sleep, "sleep_state", _SLEEP_STATES)

    def _make_counters(self) -> None:
        self._queries = self._counter("prefix_cache_queries", "Prefix cache queries, in tokens.")
        self._hits = self._counter("prefix_cache_hits", "Prefix cache hits, in tokens.")
        self._cached = self._counter("prompt_tokens_cached", "Number of cached prompt tokens.")
        self._counter("num_preemptions", "Preemptions; this engine has room for every slot and never preempts.")
        self._prompt_tokens = self._counter("prompt_tokens", "Number of prefill tokens processed.")
        self._tokens = self._counter("generation_tokens", "Number of generation tokens processed.")
        finished = Counter(
            "vllm:request_success",
            "Count of successfully processed requests.",
            ["model_name", "engine", "finished_reason"],
            registry=self.registry,
        )
        reasons = ("stop", "length", "abort", "error", "repetition")
        self._finished = self._split(finished, "finished_reason", reasons)
        self._answers = Counter(
            "http_requests",
            "Total number of requests by method, status and handler.",
            ["handler", "method", "status"],
            registry=self.registry,
        )
        rejections = Counter(
            "vllm:admission_rejections",
            "Number of admission attempts rejected by a queue limit, by reason.",
            ["model_name", "reason"],
            registry=self.registry,
        )
        rejections.labels(self._model, "max_num_queued_tokens")
        self._rejected = rejections.labels(self._model, "max_num_queued_reqs")

    def _make_histograms(self) -> None:
        self._first_token = self._histogram(
            "time_to_first_token_seconds", "Histogram of time to first token in seconds.", _FIRST_TOKEN_EDGES
        )
        self._gaps = self._histogram(
            "inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", _GAP_EDGES
        )
        self._request_seconds = self._histogram(
            "e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", _REQUEST_EDGES
        )
        self._step_tokens = self._histogram(
            "iteration_tokens_total", "Histogram of number of tokens per engine_step.", _STEP_EDGES
        )
