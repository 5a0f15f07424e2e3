"""The simulation with a few more properties: pages, status endpoints and answers that say whatever a case needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Content, Flaw
from llm_watchdog.core.deadlines import patience
from llm_watchdog.core.observations import (
    AnswerKind,
    MetricsObservation,
    MetricsReading,
    Observation,
    StatusObservation,
    StatusReading,
)
from tests.sidecar.simulation import Engine, Simulation

if TYPE_CHECKING:
    from llm_watchdog.core.findings import Finding

BEGIN = 120.0
"""When the odd thing begins: a minute is enough to be warm, two to have thirty canaries behind it."""
STATUS_SECONDS = 5.0


def as_it_is(_now: float, reading: MetricsReading) -> MetricsReading:
    return reading


def no_flaw(_now: float) -> Flaw | None:
    return None


def nothing(_now: float) -> None:
    return None


@dataclass(kw_only=True)
class Odd(Engine):
    """An engine whose answers can be bent one by one."""

    page: Callable[[float, MetricsReading], MetricsReading] = as_it_is
    status: Callable[[float], StatusReading | AnswerKind | None] = nothing
    """What a status endpoint says; a kind alone is one that takes a slot."""
    more: Callable[[float], StatusReading | None] = nothing
    """What another status endpoint says."""
    flaw: Callable[[float], Flaw | None] = no_flaw
    flaw_outcome: CanaryOutcome = CanaryOutcome.INCOMPLETE
    flaw_tokens: int = 4
    flaw_status: int = 200
    flaw_finish: str | None = None
    first_token: Callable[[float], float] | None = None
    """Seconds, by the time at which a canary began."""
    answer: Callable[[float], tuple[str, str]] | None = None
    """Text, one character a token, and finish reason."""
    asked: Callable[[float], bool] = lambda _now: True
    """May a canary be sent?"""


class Stage(Simulation):
    engine: Odd

    def finding(self, fault: FaultClass) -> Finding | None:
        return next((f for f in self.verdict.findings if f.fault is fault), None)

    def reasons(self, begin: float = 0.0) -> set[FindingReason]:
        return {finding.reason for at, verdict in self.verdicts if at >= begin for finding in verdict.findings}

    def when(self, reason: FindingReason, *, incident: bool = False, faulty: bool = False) -> float | None:
        """Seconds after `BEGIN` until a reason is told, opens an incident, or may kill."""
        return next(
            (
                at - BEGIN
                for at, verdict in self.verdicts
                for finding in verdict.findings
                if finding.reason is reason
                and (finding.incident or not incident)
                and (finding.state is VerdictState.FAULTY or not faulty)
            ),
            None,
        )

    def incidents(self) -> set[FaultClass]:
        return {finding.fault for _, verdict in self.verdicts for finding in verdict.findings if finding.incident}

    def _look(self) -> Iterable[Observation]:
        said = self.engine.status(self.now)
        if said is not None and self._due("status", STATUS_SECONDS):
            is_reading = isinstance(said, StatusReading)
            yield StatusObservation(
                at=self.now,
                name="status",
                kind=AnswerKind.ANSWERED if isinstance(said, StatusReading) else said,
                reading=said if isinstance(said, StatusReading) else None,
                seconds=0.0 if is_reading else 2.0,
                takes_slot=not is_reading,
            )
        more = self.engine.more(self.now)
        if more is not None and self._due("more", STATUS_SECONDS):
            yield StatusObservation(at=self.now, name="more", kind=AnswerKind.ANSWERED, reading=more)
        yield from super()._look()

    def _metrics(self) -> MetricsObservation:
        page = super()._metrics()
        if page.reading is None:
            return page
        own = int(self.outstanding is not None)
        return replace(page, reading=self.engine.page(self.now, page.reading), own_canaries=own)

    def _canary(self) -> Iterable[Observation]:
        if self.outstanding is not None or self.engine.asked(self.now):
            yield from super()._canary()

    def _outcome(self, canary: CanaryObservation) -> CanaryObservation:
        canary, flaw = replace(canary, max_tokens=4), self.engine.flaw(self.now)
        if flaw is not None and canary.outcome is CanaryOutcome.IN_PROGRESS:
            return self._flawed(canary, flaw)
        wait = self.engine.first_token
        if wait is not None and self.now < canary.started_at + wait(canary.started_at):
            return self._timed(canary)
        seen = super()._outcome(canary)
        if self.engine.answer is None or seen.outcome is not CanaryOutcome.SUCCEEDED:
            return replace(seen, finish="length") if seen.outcome is CanaryOutcome.SUCCEEDED else seen
        text, finish = self.engine.answer(self.now)
        return replace(seen, tokens=len(text), finish=finish, content=Content(text=text))

    def _timed(self, canary: CanaryObservation) -> CanaryObservation:
        if self.now - canary.started_at < patience(self.window, self.policy, canary.shape):
            return canary
        return replace(canary, outcome=CanaryOutcome.NO_FIRST_TOKEN, finished_at=self.now, http_status=200)

    def _flawed(self, canary: CanaryObservation, flaw: Flaw) -> CanaryObservation:
        engine, at = self.engine, self.now
        return replace(
            canary,
            outcome=engine.flaw_outcome,
            tokens=engine.flaw_tokens,
            first_token_at=at if engine.flaw_tokens else None,
            last_token_at=at if engine.flaw_tokens else None,
            finished_at=at,
            http_status=engine.flaw_status,
            finish=engine.flaw_finish,
            flaw=flaw,
        )


def played(engine: Odd, until: float = BEGIN + 300, **parts: object) -> Stage:
    stage = Stage(engine, **parts)  # type: ignore[arg-type]
    stage.run(until)
    return stage
