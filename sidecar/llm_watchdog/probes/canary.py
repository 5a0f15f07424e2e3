"""Sends one canary and tells how far it comes, token by token. Cancelling it closes the connection, which aborts it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import httpx

from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Content, Flaw
from llm_watchdog.core.observations import AnswerKind
from llm_watchdog.engines.dialect import Call, StreamEvent
from llm_watchdog.engines.json_bodies import json_object
from llm_watchdog.probes.engine_client import DETAIL_MAX, BodyTooLargeError, EngineClient, failure, read_body
from llm_watchdog.probes.framing import events
from llm_watchdog.probes.unended import Unended

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_watchdog.engines.dialect import Dialect, EndRule

    Report = Callable[[CanaryObservation], None]

TERMINATOR_SECONDS: Final = 2.0
"""Between the finish reason and the end of the body: the usage and the terminator come at once."""
LIMIT_FACTOR: Final = 2
LIMIT_SLACK: Final = 8
"""A stream this far beyond the tokens asked for is cut by us: it would not stop."""
TEXT_MAX: Final = 16384
TOKENS_MAX: Final = 16384
"""Far more than any canary asks for."""

_OUTCOMES: Final = {
    AnswerKind.REFUSED: CanaryOutcome.REFUSED,
    AnswerKind.CUT: CanaryOutcome.INCOMPLETE,
    AnswerKind.UNREADABLE: CanaryOutcome.INCOMPLETE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryOrder:
    """What to send, and under which name it is observed."""

    id: str
    shape: str
    call: Call
    timeout: float
    max_tokens: int
    patient: bool = False
    """The timeout begins anew with each token: a long answer of a slow engine is no silence."""
    endless_after: int = 0
    """Tokens of a stream that takes no limit after which it is taken for one without end; 0: not known."""
    drop_after: int | None = None
    """Close the connection after this many tokens: an abandoned stream, on purpose."""


class CanaryProbe:
    """One stream; the watcher sees to it that no other is outstanding unless a check wants it so."""

    def __init__(
        self, client: EngineClient, dialect: Dialect, clock: Callable[[], float], unended: Unended | None = None
    ) -> None:
        self._unended = unended or Unended()
        self._client = client
        self._dialect = dialect
        self._clock = clock

    async def send(self, order: CanaryOrder, report: Report) -> CanaryObservation:
        """Report when it is sent, on its first token, and at its end."""
        asked = order.max_tokens if self._dialect.end.limit_taken else 0
        first = CanaryObservation(id=order.id, shape=order.shape, started_at=self._clock(), max_tokens=asked)

        def heard(seen: CanaryObservation) -> None:
            self._unended.note(seen)
            report(seen)

        run = _Run(first, self._dialect, self._clock, heard, order)
        try:
            async with asyncio.timeout(order.timeout) as limit:
                run.limit = limit if order.patient else None
                await self._ask(order, run)
        except TimeoutError:
            outcome = CanaryOutcome.TOKEN_GAP if run.seen.tokens else CanaryOutcome.NO_FIRST_TOKEN
            run.end(outcome, f"cancelled after {order.timeout:g} s")
        except (httpx.HTTPError, BodyTooLargeError, OSError) as error:
            answer = failure(error)
            cut = answer.kind is AnswerKind.CUT and run.seen.http_status == httpx.codes.OK
            outcome = _OUTCOMES.get(answer.kind, CanaryOutcome.NOT_SENT)
            run.end(outcome, answer.detail, flaw=Flaw.BODY_CUT if cut else None)
        except BaseException as error:
            # Withdrawn, or our own bug: either way it must not stand as one that the engine never answered.
            withdrawn = isinstance(error, asyncio.CancelledError)
            run.end(CanaryOutcome.WITHDRAWN if withdrawn else CanaryOutcome.NOT_SENT, type(error).__name__)
            raise
        return run.seen

    async def _ask(self, order: CanaryOrder, run: _Run) -> None:
        async with self._client.stream(order.call) as response:
            run.status(response.status_code)
            if response.status_code != httpx.codes.OK:
                body = await read_body(response)
                is_ours = response.status_code < httpx.codes.INTERNAL_SERVER_ERROR
                flaw = self._dialect.read_rejection(response.status_code, body)
                run.end(CanaryOutcome.REJECTED if is_ours else CanaryOutcome.SERVER_ERROR, _reason(body), flaw=flaw)
                return
            try:
                await self._read(response, order, run)
            except TimeoutError:
                if not run.is_over:
                    raise
                run.never_ends = True
            run.conclude(self._dialect.end)

    async def _read(self, response: httpx.Response, order: CanaryOrder, run: _Run) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as rest:
            async for event in events(response, self._dialect):
                run.take(event)
                if run.ended:
                    return
                if order.drop_after is not None and run.seen.tokens >= order.drop_after:
                    run.end(CanaryOutcome.WITHDRAWN, f"dropped on purpose after {run.seen.tokens} tokens")
                    return
                if run.is_over and rest.when() is None:
                    rest.reschedule(loop.time() + TERMINATOR_SECONDS)


class _Run:
    """The observation as it grows."""

    def __init__(
        self,
        seen: CanaryObservation,
        dialect: Dialect,
        clock: Callable[[], float],
        report: Report,
        order: CanaryOrder,
    ) -> None:
        self.seen = seen
        self.timeout = order.timeout
        self.limit: asyncio.Timeout | None = None
        """To be moved on with each token."""
        self.finished = False
        """A finish reason of a whole answer has come."""
        self.never_ends = False
        """It is over by its own word, and a client goes on waiting."""
        self._rule: EndRule = dialect.end
        self._cumulative = dialect.cumulative
        self._clock = clock
        self._report = report
        self._terminated = False
        asked = seen.max_tokens
        self._endless_after = LIMIT_FACTOR * asked + LIMIT_SLACK if asked else order.endless_after
        self._length = 0
        """Of the longest text of an event, before it was cut to what is kept."""
        report(seen)

    @property
    def ended(self) -> bool:
        """Nothing more is of interest."""
        return self.seen.finished_at is not None

    @property
    def is_over(self) -> bool:
        """By its own word. The body has to end too: many a client reads until it does."""
        return self.finished or self._terminated

    def status(self, status: int) -> None:
        """Headers came; they prove nothing about the engine."""
        self.seen = replace(self.seen, http_status=status)

    def take(self, event: StreamEvent) -> None:
        """Add an event."""
        if event.error is not None:
            if event.error_status is not None:
                self.status(event.error_status)
            self.end(CanaryOutcome.ERROR_IN_STREAM, event.error, flaw=event.flaw or Flaw.ERROR_IN_STREAM)
            return
        tokens = self._new_tokens(event)
        self.seen = replace(self.seen, content=self._grown(event.content))
        self._length = max(self._length, len(event.content.text))
        if tokens:
            self._count(tokens)
        if event.finish is not None:
            self._finish(event.finish)
        self._terminated = self._terminated or event.end
        if 0 < self._endless_after < self.seen.tokens and not self.finished:
            asked = f"{self.seen.max_tokens} were asked for" if self.seen.max_tokens else "far more than ever before"
            detail = f"{self.seen.tokens} tokens and no end, {asked}"
            self.end(CanaryOutcome.INCOMPLETE, detail, flaw=Flaw.BEYOND_LIMIT)

    def conclude(self, rule: EndRule) -> None:
        """The stream has ended, or went on for too long after its finish."""
        if self.seen.finished_at is not None:
            return
        flaw = self._flaw(rule)
        if flaw is None:
            self.end(CanaryOutcome.SUCCEEDED)
        else:
            self.end(CanaryOutcome.INCOMPLETE, _FLAWS.get(flaw, flaw.value), flaw=flaw)

    def end(self, outcome: CanaryOutcome, detail: str = "", *, flaw: Flaw | None = None) -> None:
        """Nothing more comes."""
        now = self._clock()
        self.seen = replace(self.seen, outcome=outcome, finished_at=now, detail=_clean(detail), flaw=flaw)
        self._report(self.seen)

    def _flaw(self, rule: EndRule) -> Flaw | None:
        seen, usage = self.seen, self.seen.content.completion_tokens
        ids = len(seen.content.token_ids)
        found = {
            Flaw.EMPTY_ANSWER: not seen.tokens,
            Flaw.NO_FINISH_REASON: rule.finish_required and not self.finished,
            Flaw.NO_TERMINATOR: self.never_ends or (rule.terminator_required and not self._terminated),
            Flaw.BROKEN_NUMBERS: None in seen.content.logprobs,
            # The ids are what came; a usage beyond the limit is believed where none are told.
            Flaw.BEYOND_LIMIT: seen.max_tokens > 0 and (ids or usage or 0) > seen.max_tokens,
            Flaw.USAGE_MISMATCH: usage is not None and ids > 0 and usage != ids,
        }
        return next((flaw for flaw, present in found.items() if present), None)

    def _finish(self, reason: str) -> None:
        self.seen = replace(self.seen, finish=_clean(reason[:DETAIL_MAX]))
        if reason not in self._rule.finish_reasons:
            self.end(CanaryOutcome.INCOMPLETE, f"finish reason {reason[:DETAIL_MAX]}")
            return
        self.finished = True
        if not self.seen.tokens:
            # A model that stops at once has generated its end-of-text token, though no text.
            self._count(1)

    def _new_tokens(self, event: StreamEvent) -> int:
        if not self._cumulative:
            return event.tokens
        if event.tokens:
            return max(event.tokens - self.seen.tokens, 0)
        # Where the engine does not count them, whatever came at once is one.
        return int(len(event.content.text) > self._length)

    def _grown(self, more: Content) -> Content:
        have = self.seen.content
        if self._cumulative:
            return replace(more, text=_clean(more.text[:TEXT_MAX])) if len(more.text) >= self._length else have
        return Content(
            text=(have.text + _clean(more.text))[:TEXT_MAX],
            token_ids=(have.token_ids + more.token_ids)[:TOKENS_MAX],
            logprobs=(have.logprobs + more.logprobs)[:TOKENS_MAX],
            prompt_tokens=have.prompt_tokens if more.prompt_tokens is None else more.prompt_tokens,
            completion_tokens=have.completion_tokens if more.completion_tokens is None else more.completion_tokens,
            cached_tokens=have.cached_tokens if more.cached_tokens is None else more.cached_tokens,
        )

    def _count(self, tokens: int) -> None:
        now = self._clock()
        first = now if self.seen.first_token_at is None else self.seen.first_token_at
        self.seen = replace(self.seen, tokens=self.seen.tokens + tokens, first_token_at=first, last_token_at=now)
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time() + self.timeout)
        self._report(self.seen)


_FLAWS: Final = {
    Flaw.EMPTY_ANSWER: "a 200 without a token",
    Flaw.NO_FINISH_REASON: "ended without a finish reason",
    Flaw.NO_TERMINATOR: f"no end within {TERMINATOR_SECONDS:g} s of the finish reason or the terminator",
    Flaw.BROKEN_NUMBERS: "log probabilities are null",
    Flaw.USAGE_MISMATCH: "the usage disagrees with the tokens that came",
}


def _clean(text: str) -> str:
    """JSON can spell half a character (a lone surrogate), which no log and no document takes."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _reason(body: bytes) -> str:
    error = json_object(body).get("error", json_object(body).get("detail"))
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or "")[:DETAIL_MAX]
