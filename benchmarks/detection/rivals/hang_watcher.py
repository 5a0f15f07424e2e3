"""modelsphere/hang-watcher 0.1.22: a sidecar that reads the engine's counters, and asks for a token where they stand.

Settings of deploy/configmap.yaml (03509887): poll 5 s, stall 30 s, probe 5 s; the kubelet asks the sidecar every 5 s
and restarts the engine after 2 failures (deploy/deployment-example.yaml, 9ab79b7e). The rule is that of watcher.go
(304bb532) without its log file. It decides restarts only; a readiness probe is the user's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.detection.rivals.asking import ask
from benchmarks.detection.rivals.kubelet import Kubelet, Probe, Probes

if TYPE_CHECKING:
    from benchmarks.detection.rule import Replica

POLL_SECONDS: Final = 5.0
STALL_SECONDS: Final = 30.0
METRICS_SECONDS: Final = 10.0
PROBE_SECONDS: Final = 5.0
MULTIPLE: Final = 300

PROGRESS: Final = frozenset(
    {
        "vllm:generation_tokens_total",
        "vllm:prompt_tokens_total",
        "sglang:generation_tokens_total",
        "sglang:prompt_tokens_total",
        "sglang:realtime_tokens_total",
        "sglang:cuda_graph_passes_total",
    }
)
CACHE: Final = frozenset({"vllm:kv_cache_usage_perc"})

PROBES: Final = Probes(
    startup=Probe(path="/v1/models", period=15, timeout=10, failures=80),
    liveness=Probe(path="/healthz", period=5, timeout=1, failures=2),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Of the engine's counters, what the rule reads."""

    progress: float | None
    cache: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`hung` is what the kubelet is told."""

    hung: bool = False
    started: bool = False
    progress: float | None = None
    cache: float | None = None
    grew_at: float = 0.0
    unreachable_since: float | None = None

    def unreachable(self, now: float) -> State:
        """No page came."""
        if not self.started:
            return self
        since = now if self.unreachable_since is None else self.unreachable_since
        return replace(self, unreachable_since=since, hung=self.hung or now - since >= STALL_SECONDS)

    def seen(self, page: Page, now: float) -> tuple[State, bool]:
        """A page came. With it: does the counter stand, so that a token has to be asked for?"""
        here = replace(self, started=True, unreachable_since=None)
        if page.progress is None:
            return replace(here, hung=False), False
        if self.progress is None or page.progress != self.progress:
            return replace(here, hung=False, progress=page.progress, cache=page.cache, grew_at=now), False
        rises = page.cache is not None and self.cache is not None and page.cache > self.cache
        if rises:
            return replace(here, hung=False, cache=page.cache, grew_at=now), False
        return replace(here, cache=page.cache), True

    def probed(self, now: float, *, passed: bool, progress: float | None) -> State:
        """The token came or not, and so far were the counters afterwards. `now`: of the page before."""
        if passed:
            return replace(self, hung=False)
        if progress is not None and self.progress is not None and progress > self.progress:
            return replace(self, hung=False, progress=progress, grew_at=now)
        return replace(self, hung=now - self.grew_at >= STALL_SECONDS)


class HangWatcher:
    """A `Rule`."""

    def __init__(self) -> None:
        self._state = State()

    async def watch(self, replica: Replica) -> None:
        kubelet = Kubelet(PROBES, asking=self._told)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll(replica))
            group.create_task(kubelet.watch(replica))

    async def _told(self, replica: Replica, probe: Probe) -> bool:
        del replica, probe
        return not self._state.hung

    async def _poll(self, replica: Replica) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            page = await _page(replica)
            if page is None:
                self._state = self._state.unreachable(now)
            else:
                self._state, stands = self._state.seen(page, now)
                if stands:
                    passed = await _probe(replica)
                    again = None if passed else await _page(replica)
                    progress = None if again is None else again.progress
                    self._state = self._state.probed(now, passed=passed, progress=progress)
            await asyncio.sleep(POLL_SECONDS)


async def _page(replica: Replica) -> Page | None:
    answer = await ask(replica.network, "/metrics", seconds=METRICS_SECONDS)
    return read(answer[1].decode(errors="replace")) if answer is not None and answer[0] == 200 else None


def read(text: str) -> Page:
    """Sums over all series, as the rule has it. What is no metrics page has no counters."""
    try:
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    except ValueError:
        return Page(progress=None)
    progress = [one.value for one in samples if one.name in PROGRESS]
    cache = [one.value for one in samples if one.name in CACHE]
    return Page(progress=sum(progress) if progress else None, cache=sum(cache) if cache else None)


async def _probe(replica: Replica) -> bool:
    """`/health_generate` for SGLang; for vLLM the completion of one token that its notes advise."""
    document: dict[str, Any] | None = None
    path = "/health_generate"
    if replica.dialect != "sglang":
        path, document = "/v1/completions", {"model": "tiny", "prompt": "hi", "max_tokens": 1}
    answer = await ask(replica.network, path, seconds=PROBE_SECONDS, document=document)
    return answer is not None and 200 <= answer[0] < MULTIPLE
