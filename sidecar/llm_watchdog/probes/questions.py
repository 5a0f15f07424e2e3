"""What to ask next: the canary's name, model and shape. Learns from the answers, within the little that may vary."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import httpx

from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.engines.dialect import Ask
from llm_watchdog.probes.canary import CanaryOrder

if TYPE_CHECKING:
    from llm_watchdog.api.policy import CanaryPolicy, EngineTarget
    from llm_watchdog.engines.dialect import Dialect
    from llm_watchdog.probes.engine_client import EngineClient

PROMPT: Final = "Count: one, two, three,"
"""Short, the same each time, and has an obvious continuation, so that a model does not stop before its first token."""
LONG_CHARACTERS: Final = 200
"""A prompt from this size on takes another prefill than a short one."""
MODELS_SECONDS: Final = 2.0
MODELS_SHOWN: Final = 5

_NO_SUCH_ENDPOINT: Final = frozenset(
    {httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED, httpx.codes.NOT_IMPLEMENTED}
)


class NothingToAskError(Exception):
    """Several models are served and none is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What a check asks in one stream, and how."""

    prompt: str
    max_tokens: int
    logprobs: bool = False
    cold: bool = False
    free_stop: bool = True
    drop_after: int | None = None


class Questions:
    """Makes the orders of canaries."""

    def __init__(self, client: EngineClient, dialect: Dialect, pod: str) -> None:
        self._client = client
        self._dialect = dialect
        # A later process must not reuse the ids of requests that may still hang in the engine.
        self._prefix = f"llm-watchdog-{pod}-{secrets.token_hex(2)}"
        self._count = 0
        self._shape = 0
        self._model: str | None = None

    def shapes(self, policy: CanaryPolicy) -> frozenset[str]:
        """All shapes that may be asked for."""
        return frozenset(_label(shape, policy) for shape in self._dialect.shapes)

    def next_id(self) -> str:
        """The id of a new canary, on the wire too."""
        self._count += 1
        return f"{self._prefix}-{self._count}"

    async def order(self, target: EngineTarget, policy: CanaryPolicy) -> CanaryOrder:
        """The next canary. Raises NothingToAskError."""
        model = target.model or await self._served_model()
        shape, request_id = self._dialect.shapes[self._shape], self.next_id()
        ask = Ask(prompt=PROMPT, request_id=request_id, max_tokens=policy.max_tokens, model=model)
        return CanaryOrder(
            id=request_id,
            shape=_label(shape, policy),
            call=self._dialect.generate(shape, ask),
            timeout=policy.timeout,
            max_tokens=policy.max_tokens,
        )

    async def check(self, target: EngineTarget, policy: CanaryPolicy, wording: Wording) -> CanaryOrder:
        """A stream of a check. Raises NothingToAskError."""
        model = target.model or await self._served_model()
        request_id = self.next_id()
        ask = Ask(
            prompt=wording.prompt,
            request_id=request_id,
            max_tokens=wording.max_tokens,
            model=model,
            logprobs=wording.logprobs,
            # Hexadecimal: vLLM takes no signs that a base64 salt may hold. A salt that was used before hits its cache.
            cold=secrets.token_hex(8) if wording.cold else "",
            free_stop=wording.free_stop,
        )
        size = "long" if len(wording.prompt) >= LONG_CHARACTERS else "check"
        return CanaryOrder(
            id=request_id,
            shape=f"{self.shape}/{size}{'/logprobs' if wording.logprobs else ''}",
            call=self._dialect.generate(self.shape, ask),
            timeout=policy.timeout,
            max_tokens=wording.max_tokens,
            patient=True,
            drop_after=wording.drop_after,
        )

    @property
    def shape(self) -> str:
        """The way in which it is asked now."""
        return self._dialect.shapes[self._shape]

    @property
    def can_bypass_cache(self) -> bool:
        """The dialect words a request differently when the cache is to be bypassed."""
        plain = Ask(prompt="", request_id="", max_tokens=1)
        salted = replace(plain, cold="salt")
        return self._dialect.generate(self.shape, plain) != self._dialect.generate(self.shape, salted)

    async def served(self, target: EngineTarget) -> str:
        """The name of the model; empty where it has none. Raises NothingToAskError."""
        return target.model or await self._served_model() or ""

    def learn(self, canary: CanaryObservation) -> None:
        """Try another shape where there is no such endpoint; look the model up again where it was refused."""
        if canary.http_status in _NO_SUCH_ENDPOINT:
            self._shape = (self._shape + 1) % len(self._dialect.shapes)
        if canary.outcome in (CanaryOutcome.REJECTED, CanaryOutcome.REFUSED):
            self._model = None

    async def _served_model(self) -> str | None:
        if self._model is None and self._dialect.models_path is not None:
            answer = await self._client.get(self._dialect.models_path, seconds=MODELS_SECONDS)
            models = self._dialect.read_models(answer.body) if answer.is_ok else ()
            if len(models) > 1:
                listed = ", ".join(models[:MODELS_SHOWN])
                raise NothingToAskError(f"{len(models)} models are served ({listed}): name one in spec.engine.model")
            self._model = models[0] if models else None
        return self._model


def _label(shape: str, policy: CanaryPolicy) -> str:
    return f"{shape}/{policy.max_tokens}"
