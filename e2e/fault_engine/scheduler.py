"""Slots, queue and steps of the EngineCore. Pure: a step is planned, takes its time elsewhere, and is then finished."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from . import tokenizer
from .faults.active import ActiveFaults
from .limits import BLOCK_TOKENS, STEP_TOKENS, Limits
from .prefix_cache import PrefixCache


@dataclass(slots=True)
class Request:
    """What the API server sends, and how far the answer is."""

    id: str
    prompt: list[int]
    seed: int
    max_tokens: int
    min_tokens: int = 0
    ignore_eos: bool = False
    salt: str = ""
    computed: int = 0
    generated: int = 0

    def as_json(self) -> dict[str, Any]:
        asked = ("id", "prompt", "seed", "max_tokens", "min_tokens", "ignore_eos", "salt")
        return {name: getattr(self, name) for name in asked}

    @property
    def blocks(self) -> int:
        return -(-(self.computed + self.generated) // BLOCK_TOKENS)

    @property
    def prefilled(self) -> bool:
        return self.computed >= len(self.prompt)


@dataclass(frozen=True, slots=True)
class Output:
    id: str
    tokens: list[int]
    finish: str | None = None

    def as_json(self) -> list[Any]:
        return [self.id, self.tokens, self.finish]


@dataclass(frozen=True, slots=True)
class Stats:
    running: int
    waiting: int
    withheld: bool  # waiting for something other than a slot
    kv_usage: float
    prefix_queries: int
    prefix_hits: int

    def as_json(self) -> list[Any]:
        return [
            self.running,
            self.waiting,
            self.withheld,
            self.kv_usage,
            self.prefix_queries,
            self.prefix_hits,
        ]


@dataclass(slots=True)
class Step:
    prefill: dict[str, int] = field(default_factory=dict)  # tokens by request
    admitted: int = 0

    def healthy_seconds(self, limits: Limits) -> float:
        return limits.token_seconds + sum(self.prefill.values()) * limits.prefill_token_seconds


class Scheduler:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[Request] = deque()
        self._running: dict[str, Request] = {}
        self._cache = PrefixCache(limits.kv_blocks)
        self._prefix_queries = 0
        self._prefix_hits = 0

    @property
    def busy(self) -> bool:
        return bool(self._running or self._waiting)

    def add(self, request: Request) -> None:
        self._waiting.append(request)

    def abort(self, ids: Iterable[str]) -> None:
        gone = set(ids)
        self._waiting = deque(request for request in self._waiting if request.id not in gone)
        for request_id in gone:
            self._running.pop(request_id, None)

    def abort_all(self) -> list[Output]:
        outputs = [Output(request.id, [], "abort") for request in (*self._running.values(), *self._waiting)]
        self._running.clear()
        self._waiting.clear()
        return outputs

    def reset_cache(self, *, preempt: bool = False) -> bool:
        """Only an engine that runs nothing can drop its cache; preempted requests compute their prompt again."""
        if self._running and not preempt:
            return False
        for request in self._running.values():
            request.computed = 0
        self._cache.clear()
        return True

    def plan(self, faults: ActiveFaults) -> Step | None:
        """The next step, or None where nothing can run."""
        step = Step()
        while self._waiting and len(self._running) < self._limits.max_num_seqs and faults.admit():
            self._admit(self._waiting.popleft())
            step.admitted += 1
        if not self._running:
            return None
        budget = STEP_TOKENS
        for request in self._running.values():
            share = min(budget, len(request.prompt) - request.computed)
            if share > 0:
                step.prefill[request.id] = share
                budget -= share
        return step

    def finish(self, step: Step, faults: ActiveFaults) -> list[Output]:
        """What the step made: a token for each request whose prompt is computed."""
        for request_id, tokens in step.prefill.items():
            if request_id in self._running:
                self._running[request_id].computed += tokens
        outputs = [
            self._emit(request)
            for request in list(self._running.values())
            if request.prefilled and faults.emit(request.generated)
        ]
        for output in outputs:
            if output.finish:
                del self._running[output.id]
        return outputs

    def stats(self) -> Stats:
        used = sum(request.blocks for request in self._running.values())
        return Stats(
            running=len(self._running),
            waiting=len(self._waiting),
            withheld=bool(self._waiting) and len(self._running) < self._limits.max_num_seqs,
            kv_usage=used / self._limits.kv_blocks,
            prefix_queries=self._prefix_queries,
            prefix_hits=self._prefix_hits,
        )

    def _admit(self, request: Request) -> None:
        request.computed = self._cache.reuse(request.prompt, request.salt)
        self._prefix_queries += len(request.prompt)
        self._prefix_hits += request.computed
        self._running[request.id] = request

    def _emit(self, request: Request) -> Output:
        ended = not request.ignore_eos and request.generated >= max(
            request.min_tokens, tokenizer.answer_length(request.seed)
        )
        if ended:
            return Output(request.id, [], "stop")
        token = tokenizer.answer_token(request.seed, request.generated)
        request.generated += 1
        return Output(request.id, [token], "length" if request.generated >= request.max_tokens else None)
