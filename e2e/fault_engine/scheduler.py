"""Slots, queue and steps of the EngineCore. Pure: a step is planned, takes its time elsewhere, and is then finished."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from . import tokenizer
from .faults.active import ActiveFaults
from .faults.effects.effect import Admission
from .limits import BLOCK_TOKENS, STEP_TOKENS, Limits
from .prefix_cache import PrefixCache
from .request import Output, Request, Said, Stats


@dataclass(slots=True)
class Step:
    prefill: dict[str, int] = field(default_factory=dict)  # tokens by request
    admitted: list[Request] = field(default_factory=list)
    unseen: bool = False  # a prompt of a length that was never computed

    @property
    def admission(self) -> Admission:
        """As faults see it."""
        longest = max((len(request.prompt) for request in self.admitted), default=0)
        return Admission(requests=len(self.admitted), longest=longest, unseen=self.unseen)

    def healthy_seconds(self, limits: Limits) -> float:
        return limits.token_seconds + sum(self.prefill.values()) * limits.prefill_token_seconds


class Scheduler:
    def __init__(self, limits: Limits, random: Random | None = None) -> None:
        self._limits = limits
        self._random = random or Random(0)  # noqa: S311 - of log probabilities, not of secrets
        self._waiting: deque[Request] = deque()
        self._running: dict[str, Request] = {}
        self._cache = PrefixCache(limits.kv_blocks)
        self._newest = ""
        self._lengths: set[int] = set()
        self._stale: list[Said] = []
        self._counts = dict.fromkeys(("prefix_queries", "prefix_hits", "decoded", "prefilled", "batches"), 0)

    @property
    def busy(self) -> bool:
        return bool(self._running or self._waiting)

    def add(self, request: Request) -> None:
        self._newest = request.id
        self._waiting.append(request)

    def abort(self, ids: Iterable[str], faults: ActiveFaults) -> None:
        gone = set(ids)
        self._waiting = deque(request for request in self._waiting if request.id not in gone)
        for request_id in gone:
            request = self._running.get(request_id)
            if request is None:
                continue
            self._stale += _unsaid(request, faults.bleed(request))
            self._release(request, "abort", faults)

    def end(self, ids: Iterable[str], faults: ActiveFaults) -> None:
        for request in [self._running[request_id] for request_id in ids if request_id in self._running]:
            self._release(request, "finish", faults)

    def abort_all(self) -> list[Output]:
        outputs = [
            Output(request.id, [], "abort")
            for request in (*self._running.values(), *self._waiting)
            if not request.leaked
        ]
        self._running = {request.id: request for request in self._running.values() if request.leaked}
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
        for request in [*self._waiting]:
            if len(self._running) >= self._limits.max_num_seqs:
                break
            if faults.admit(request, len(self._running)):
                self._waiting.remove(request)
                self._admit(request)
                step.admitted.append(request)
                step.unseen |= self._is_unseen(request)
        if all(request.leaked for request in self._running.values()):
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
                self._counts["prefilled"] += tokens
        speaking = [
            request
            for request in self._running.values()
            if not request.leaked and request.prefilled and faults.emit(request, self._newest)
        ]
        # Of requests that stand still no batch is made.
        self._counts["batches"] += bool(step.prefill or speaking)
        outputs = [self._emit(request, faults) for request in speaking]
        for request, output in zip(speaking, outputs, strict=True):
            if output.finish:
                self._release(request, "finish", faults)
        return faults.mix(outputs, speaking)

    def stats(self) -> Stats:
        used = sum(request.blocks for request in self._running.values())
        return Stats(
            running=len(self._running),
            waiting=len(self._waiting),
            withheld=bool(self._waiting) and len(self._running) < self._limits.max_num_seqs,
            kv_usage=min(1.0, used / self._limits.kv_blocks),
            **self._counts,
        )

    def slots(self) -> list[Mapping[str, Any]]:
        """Each slot, used or not."""
        used = [
            {
                "id": place,
                "busy": True,
                "prompt": len(request.prompt),
                "decoded": request.generated,
                "left": request.max_tokens - request.generated,
            }
            for place, request in enumerate(self._running.values())
        ]
        free = range(len(used), self._limits.max_num_seqs)
        return [*used, *({"id": place, "busy": False, "prompt": 0, "decoded": 0, "left": 0} for place in free)]

    def _is_unseen(self, request: Request) -> bool:
        """Kernels are compiled for shapes, and lengths of prompts are padded to whole blocks."""
        length = -(-len(request.prompt) // BLOCK_TOKENS)
        unseen = length not in self._lengths
        self._lengths.add(length)
        return unseen

    def _admit(self, request: Request) -> None:
        known, request.origin = self._cache.reuse(request.prompt, request.salt, request.number)
        request.computed = request.cached = 0 if request.bypass else known
        self._counts["prefix_queries"] += len(request.prompt)
        self._counts["prefix_hits"] += request.computed
        self._running[request.id] = request
        beside = sum(not other.leaked for other in self._running.values()) - 1
        for other in self._running.values():
            other.beside = max(other.beside, beside)

    def _release(self, request: Request, how: str, faults: ActiveFaults) -> None:
        request.leaked = faults.keep_slot(request, how)
        if not request.leaked:
            self._running.pop(request.id, None)

    def _emit(self, request: Request, faults: ActiveFaults) -> Output:
        if request.generated >= request.min_tokens and faults.end(request, ended=self._ended(request)):
            return Output(request.id, [], "stop", request.cached)
        said = faults.say(request, self._say(request))
        request.generated += 1
        self._counts["decoded"] += 1
        stale, self._stale = self._stale, []
        finish = "length" if request.generated >= faults.limit(request) else None
        return Output(request.id, [*stale, said], finish, request.cached)

    def _ended(self, request: Request) -> bool:
        if request.ignore_eos or not request.ends:
            return False
        return request.generated >= (len(request.script) or tokenizer.answer_length(request.seed))

    def _say(self, request: Request) -> Said:
        """The greedy choice. With noise a near tie may fall the other way, and the answer goes on from there."""
        if not request.logprobs and not self._limits.noise:
            return Said(request.next_token())
        choice = request.choose()
        noise = self._limits.noise * (2 * self._random.random() - 1)
        first, second = choice.logprob + noise, choice.second_logprob - noise
        token, other = choice.token, choice.second
        if second > first:
            request.seed = tokenizer.mixed(request.seed, request.generated)
            token, other, first, second = other, token, second, first
        if not request.logprobs:
            return Said(token)
        return Said(token, first, other, second)


def _unsaid(request: Request, count: int) -> list[Said]:
    """What an abandoned request would have said next."""
    left = min(count, request.max_tokens - request.generated)
    said = []
    for _ in range(left):
        said.append(Said(request.next_token()))
        request.generated += 1
    return said
