"""The streams of one round: sends them, tells the watcher about them, and says when the round is not worth going on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from llm_watchdog.api.policy import EngineType
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Flaw
from llm_watchdog.core.check_rounds import Arm, CheckAnswer
from llm_watchdog.probes.questions import Wording

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from llm_watchdog.api.policy import CanaryPolicy, EngineTarget
    from llm_watchdog.core.check_prompts import CheckPrompt
    from llm_watchdog.probes.canary import CanaryProbe
    from llm_watchdog.probes.questions import Questions

    Report = Callable[[CanaryObservation], None]

TELL_NUMBERS: Final = frozenset({EngineType.VLLM, EngineType.SGLANG, EngineType.LLAMACPP, EngineType.TGI})
"""Engines that compute log probabilities themselves: null stands for one that is not a number."""

_BUSY: Final = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})


class CutShortError(Exception):
    """The engine fell silent, broke off or is full: that is the canaries' business, and the round is void."""


class NotMadeError(Exception):
    """The engine does not take part in this check; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a prompt is asked."""

    arm: Arm = Arm.ALONE
    nonce: str = ""
    expected: str = ""
    cold: bool = False
    logprobs: bool = False
    free_stop: bool = True
    drop_after: int | None = None
    heard: bool = True
    """Stands for the round as its canary. Of several streams at once only one does, or a silence would count double."""
    must_come: bool = True
    """Its failure ends the round; otherwise it is part of the evidence."""
    prove_hit: bool = False


class Streams:
    """Lives as long as the watcher, and remembers what the engine refuses."""

    def __init__(
        self,
        probe: CanaryProbe,
        questions: Questions,
        *,
        cache_hits: Callable[[], Awaitable[float | None]],
        heard: Report,
        unheard: Report,
    ) -> None:
        self._probe = probe
        self._questions = questions
        self._cache_hits = cache_hits
        self._heard = heard
        self._unheard = unheard
        self._takes_logprobs = True
        self._told_numbers = False
        self.in_flight = 0

    async def ask(self, target: EngineTarget, policy: CanaryPolicy, prompt: CheckPrompt, manner: Manner) -> CheckAnswer:
        """One stream, to its end. Raises CutShortError, NotMadeError and NothingToAskError."""
        before = await self._cache_hits() if manner.prove_hit else None
        canary = await self._send(target, policy, prompt, manner)
        if manner.logprobs and self._takes_logprobs and self._does_without(canary, target):
            self._takes_logprobs = False
            canary = await self._send(target, policy, prompt, manner)
        self._told_numbers = self._told_numbers or any(value is not None for value in canary.content.logprobs)
        _insist(canary, manner)
        return CheckAnswer(
            prompt=prompt.name,
            arm=manner.arm,
            nonce=manner.nonce,
            expected=manner.expected,
            canary=canary,
            hit_tokens=await self._hit_tokens(canary, before) if manner.prove_hit else None,
        )

    async def _send(
        self, target: EngineTarget, policy: CanaryPolicy, prompt: CheckPrompt, manner: Manner
    ) -> CanaryObservation:
        wording = Wording(
            prompt=prompt.text,
            max_tokens=prompt.max_tokens,
            logprobs=manner.logprobs and self._takes_logprobs,
            cold=manner.cold,
            free_stop=manner.free_stop,
            drop_after=manner.drop_after,
        )
        order = await self._questions.check(target, policy, wording)
        self.in_flight += 1
        try:
            return await self._probe.send(order, self._heard if manner.heard else self._unheard)
        finally:
            self.in_flight -= 1

    def _does_without(self, canary: CanaryObservation, target: EngineTarget) -> bool:
        """It takes no log probabilities, or is a gateway that fills the field with nulls."""
        refused = canary.outcome is CanaryOutcome.REJECTED and canary.flaw is None and canary.http_status not in _BUSY
        nulls = None in canary.content.logprobs and not self._told_numbers and target.type not in TELL_NUMBERS
        return refused or nulls

    async def _hit_tokens(self, canary: CanaryObservation, before: float | None) -> float | None:
        """By the request's own usage, else by the engine's counter: nobody else is being served."""
        if canary.content.cached_tokens is not None:
            return canary.content.cached_tokens
        after = None if before is None else await self._cache_hits()
        return None if before is None or after is None else after - before


def _insist(canary: CanaryObservation, manner: Manner) -> None:
    dropped = manner.drop_after is not None and canary.outcome is CanaryOutcome.WITHDRAWN
    if canary.outcome is CanaryOutcome.SUCCEEDED or canary.flaw is Flaw.BROKEN_NUMBERS or dropped:
        return
    said = f"HTTP {canary.http_status}: {canary.detail}" if canary.http_status else canary.detail
    if canary.outcome is CanaryOutcome.REJECTED and canary.http_status not in _BUSY:
        raise NotMadeError(f"the engine rejects it with {said}")
    if manner.must_come or canary.outcome in (CanaryOutcome.REJECTED, CanaryOutcome.NOT_SENT):
        raise CutShortError(f"a stream ended as {canary.outcome}: {said}")


async def together(*asked: Awaitable[CheckAnswer]) -> tuple[CheckAnswer, ...]:
    """Several streams at once. The first failure of one cancels the others."""
    tasks = [asyncio.ensure_future(one) for one in asked]
    try:
        return tuple(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
