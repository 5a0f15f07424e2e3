"""What to ask next: the canary's name, model and manner. Learns from the answers, within the little that may vary."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import httpx

from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.request_ids import TOKEN_BYTES, request_id
from llm_watchdog.engines.dialect import Ask, Call
from llm_watchdog.engines.negotiation import LEAST_TOKENS, Manner, next_manner
from llm_watchdog.probes.canary import CanaryOrder

if TYPE_CHECKING:
    from collections.abc import Callable

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
_NOT_ABOUT_THE_WORDS: Final = frozenset(
    {
        httpx.codes.UNAUTHORIZED,
        httpx.codes.PAYMENT_REQUIRED,
        httpx.codes.FORBIDDEN,
        httpx.codes.TOO_MANY_REQUESTS,
    }
)
"""The key, the bill, or a full queue: other words change nothing."""


class NothingToAskError(Exception):
    """Several models are served and none is named, or there is no route to ask."""


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

    def __init__(
        self,
        client: EngineClient,
        dialect: Dialect,
        pod: str,
        patience: Callable[[str], float] | None = None,
        endless_after: Callable[[str], int] = lambda _shape: 0,
    ) -> None:
        self._patience = patience
        """Seconds for a shape; None: what is configured."""
        self._endless_after = endless_after
        """Tokens of a shape."""
        self._client = client
        self._dialect = dialect
        self._pod, self._token = pod, secrets.token_hex(TOKEN_BYTES)
        self._count = 0
        self._manner = Manner(shape=next(iter(dialect.shapes), ""))
        self._tried: set[Manner] = set()
        self._proven = False
        """The manner has been answered with tokens."""
        self._model: str | None = None
        self._bypasses: dict[Manner, bool] = {}
        """By manner: asked about many times a second."""

    def shapes(self, policy: CanaryPolicy) -> frozenset[str]:
        """All shapes that may be asked for."""
        sizes = (policy.max_tokens, max(policy.max_tokens, LEAST_TOKENS))
        return frozenset(_label(shape, size) for shape in self._dialect.shapes for size in sizes)

    def next_id(self) -> str:
        """The id of a new canary, on the wire too."""
        self._count += 1
        return request_id(self._pod, self._token, self._count)

    def model(self, target: EngineTarget) -> str | None:
        """The one that is asked, as far as it is known."""
        return target.model or self._model

    def put(self, ask: Ask) -> Call:
        """A question in the manner that this engine process accepts."""
        return self._manner.put(self._dialect, ask)

    async def order(self, target: EngineTarget, policy: CanaryPolicy) -> CanaryOrder:
        """The next canary. Raises NothingToAskError."""
        if not self._dialect.shapes:
            raise NothingToAskError("this engine has no standard route: name it in spec.engine.path and textField")
        model = target.model or await self._served_model()
        max_tokens, request_id = self._manner.tokens(policy.max_tokens), self.next_id()
        shape = _label(self._manner.shape, max_tokens)
        return CanaryOrder(
            id=request_id,
            shape=shape,
            call=self.put(Ask(prompt=PROMPT, request_id=request_id, max_tokens=max_tokens, model=model)),
            timeout=self._seconds(shape, policy),
            max_tokens=max_tokens,
            endless_after=self._endless_after(shape),
            patient=True,
        )

    async def check(self, target: EngineTarget, policy: CanaryPolicy, wording: Wording) -> CanaryOrder:
        """A stream of a check. Raises NothingToAskError."""
        model = target.model or await self._served_model()
        max_tokens, request_id = self._manner.tokens(wording.max_tokens), self.next_id()
        ask = Ask(
            prompt=wording.prompt,
            request_id=request_id,
            max_tokens=max_tokens,
            model=model,
            logprobs=wording.logprobs,
            # Hexadecimal: vLLM takes no signs that a base64 salt may hold. A salt that was used before hits its cache.
            cold=secrets.token_hex(8) if wording.cold else "",
            free_stop=wording.free_stop,
        )
        size = "long" if len(wording.prompt) >= LONG_CHARACTERS else "check"
        shape = f"{self.shape}/{size}{'/logprobs' if wording.logprobs else ''}"
        return CanaryOrder(
            id=request_id,
            shape=shape,
            call=self.put(ask),
            timeout=self._seconds(shape, policy),
            max_tokens=max_tokens,
            endless_after=self._endless_after(shape),
            patient=True,
            drop_after=wording.drop_after,
        )

    def _seconds(self, shape: str, policy: CanaryPolicy) -> float:
        return policy.timeout if self._patience is None else self._patience(shape)

    @property
    def shape(self) -> str:
        """The way in which it is asked now."""
        return self._manner.shape

    @property
    def can_bypass_cache(self) -> bool:
        """The dialect words a request differently when the cache is to be bypassed."""
        if self._manner not in self._bypasses:
            plain = Ask(prompt="", request_id="", max_tokens=1)
            self._bypasses[self._manner] = self.put(plain) != self.put(replace(plain, cold="salt"))
        return self._bypasses[self._manner]

    async def served(self, target: EngineTarget) -> str:
        """The name of the model; empty where it has none. Raises NothingToAskError."""
        return target.model or await self._served_model() or ""

    def learn(self, canary: CanaryObservation, *, answered: bool) -> None:
        """Ask differently where an engine process that has not `answered` any canary of this manner refuses it."""
        if canary.outcome in (CanaryOutcome.REJECTED, CanaryOutcome.REFUSED):
            self._model = None
        self._proven = canary.tokens > 0 or (self._proven and answered)
        if self._proven or canary.outcome is CanaryOutcome.REFUSED:
            self._tried.clear()
            return
        no_endpoint = canary.http_status in _NO_SUCH_ENDPOINT
        if canary.outcome is not CanaryOutcome.REJECTED and not no_endpoint:
            return
        if canary.http_status not in _NOT_ABOUT_THE_WORDS:
            self._ask_differently(canary.detail, no_endpoint=no_endpoint)

    def _ask_differently(self, said: str, *, no_endpoint: bool) -> None:
        self._tried.add(self._manner)
        found = next_manner(self._manner, self._tried, self._dialect.shapes, said, no_endpoint=no_endpoint)
        if found is None:
            self._tried.clear()
        self._manner = found or Manner(shape=self._dialect.shapes[0])

    async def _served_model(self) -> str | None:
        if self._model is None and self._dialect.models_path is not None:
            call = Call(method=self._dialect.models_method, path=self._dialect.models_path)
            answer = await self._client.call(call, seconds=MODELS_SECONDS)
            models = self._dialect.read_models(answer.body) if answer.is_ok else ()
            if len(models) > 1:
                listed = ", ".join(models[:MODELS_SHOWN])
                raise NothingToAskError(f"{len(models)} models are served ({listed}): name one in spec.engine.model")
            self._model = models[0] if models else None
        return self._model


def _label(shape: str, max_tokens: int) -> str:
    return f"{shape}/{max_tokens}"
