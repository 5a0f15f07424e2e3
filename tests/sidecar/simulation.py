"""A pure engine and a pure watcher on one made-up clock: hours of looking in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from llm_watchdog.api.policy import EngineTarget, EngineType, WatchdogPolicy
from llm_watchdog.core import cadence
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.deadlines import learn, patience
from llm_watchdog.core.findings import Verdict
from llm_watchdog.core.intake import observe
from llm_watchdog.core.observations import (
    AnswerKind,
    Beat,
    HealthObservation,
    MetricsObservation,
    MetricsReading,
    Observation,
    SocketSample,
    SocketsObservation,
    StateObservation,
)
from llm_watchdog.core.verdict import judge
from llm_watchdog.core.window import Window

if TYPE_CHECKING:
    from llm_watchdog.api.reasons import VerdictState

STEP = 0.25
TARGET = EngineTarget(type=EngineType.VLLM)


def never(_now: float) -> bool:
    return False


def between(begin: float, end: float = float("inf")) -> Callable[[float], bool]:
    return lambda now: begin <= now < end


@dataclass(kw_only=True)
class Client:
    """One user's connection: a request at `at`, its answer streaming until `until` unless the engine is silent."""

    at: float
    until: float = float("inf")
    request_bytes: int = 500
    chunk_bytes: int = 250
    headers_bytes: int = 180
    peer: str = "10.0.0.9:40000:1"
    first_token_after: float = 0.5
    stalls_after: float = float("inf")
    """Seconds; then its answer stops."""
    answered: int = 0

    def sample(self, now: float, *, generates: bool) -> SocketSample | None:
        if not self.at <= now < self.until:
            return None
        self.answered = max(self.answered, self.headers_bytes)
        if generates and self.first_token_after <= now - self.at < self.stalls_after:
            self.answered += self.chunk_bytes
        return SocketSample(peer=self.peer, own=False, open=True, received=self.request_bytes, acked=self.answered)


@dataclass(kw_only=True)
class Engine:
    """What a model server does at a time. By default a healthy idle vLLM."""

    silent: Callable[[float], bool] = never
    """Nothing is generated for anybody."""
    queued: Callable[[float], bool] = never
    """Canaries wait, users' streams move."""
    refuses: Callable[[float], bool] = never
    stalls_after_two: Callable[[float], bool] = never
    """A stream stops after two tokens and stays."""
    seconds_per_token: float = 0.0
    errors: Callable[[float], bool] = never
    """Completions are answered with `error_status`."""
    error_status: int = 500
    unhealthy: Callable[[float], bool] = never
    health_seconds: float = 0.001
    frozen_server: Callable[[float], bool] = never
    asleep: Callable[[float], bool] = never
    tells_state: bool = True
    metrics: bool = True
    kv_rises: Callable[[float], bool] = never
    clients: list[Client] = field(default_factory=list)
    sockets_readable: bool = True
    listener: Callable[[float], int] = lambda _now: 7
    ttft: float = 0.05
    tokens: float = 100.0
    kv: float = 0.0
    running: float = 0.0

    def is_silent(self, now: float) -> bool:
        return self.silent(now) or self.frozen_server(now) or self.asleep(now)

    def advance(self, now: float) -> None:
        """Counters freeze in a silence; they are pushed by steps."""
        if self.kv_rises(now):
            self.kv += 0.001
        if self.is_silent(now) or self.refuses(now):
            return
        live = [c for c in self.clients if c.at <= now < min(c.until, c.at + c.stalls_after) and c.chunk_bytes]
        self.tokens += 40 * STEP * len(live)
        self.running = float(len(live))
        self.kv = 0.01 * len(live)

    def sockets(self, now: float) -> SocketsObservation:
        if not self.sockets_readable:
            return SocketsObservation(at=now, readable=False)
        seen = (client.sample(now, generates=not self.is_silent(now)) for client in self.clients)
        listeners = frozenset() if self.refuses(now) else frozenset({self.listener(now)})
        return SocketsObservation(
            at=now, readable=True, listeners=listeners, samples=tuple(sample for sample in seen if sample is not None)
        )


@dataclass
class Simulation:
    """Drives the cadence, the window and the verdict against an engine."""

    engine: Engine
    policy: WatchdogPolicy = field(default_factory=WatchdogPolicy)
    target: EngineTarget = TARGET
    window: Window = field(default_factory=Window)
    now: float = 0.0
    outstanding: CanaryObservation | None = None
    canaries: int = 0
    asleep_watchdog: Callable[[float], bool] = never
    verdicts: list[tuple[float, Verdict]] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)

    def run(self, until: float) -> Self:
        while self.now < until:
            self.engine.advance(self.now)
            if not self.asleep_watchdog(self.now):
                for observation in self._look():
                    self.window = observe(self.window, observation)
                verdict = judge(self.window, self.target, self.policy, self.now)
                self.window = learn(self.window, verdict)
                self.verdicts.append((self.now, verdict))
            self.now += STEP
        return self

    def first(self, state: VerdictState) -> float | None:
        return next((at for at, verdict in self.verdicts if verdict.state is state), None)

    def states(self, begin: float = 0.0, end: float = float("inf")) -> set[VerdictState]:
        return {verdict.state for at, verdict in self.verdicts if begin <= at < end}

    @property
    def verdict(self) -> Verdict:
        return self.verdicts[-1][1]

    def _due(self, what: str, interval: float) -> bool:
        if self.now - self.last.get(what, -1e9) < interval:
            return False
        self.last[what] = self.now
        return True

    def _look(self) -> Iterable[Observation]:
        now, engine = self.now, self.engine
        yield Beat(at=now)
        if self._due("sockets", cadence.SOCKETS_SECONDS):
            yield engine.sockets(now)
        if self._due("health", cadence.health_interval(self.window, now)):
            yield self._health()
        if engine.metrics and self._due("metrics", cadence.metrics_interval(self.window, now)):
            yield self._metrics()
        if engine.tells_state and self._due("state", cadence.STATE_SECONDS):
            hangs = engine.silent(now) or engine.frozen_server(now)
            asleep = None if hangs else engine.asleep(now)
            kind = AnswerKind.SILENT if hangs else AnswerKind.ANSWERED
            yield StateObservation(at=now, kind=kind, asleep=asleep, paused=asleep)
        yield from self._canary()

    def _health(self) -> HealthObservation:
        if self.engine.refuses(self.now):
            return HealthObservation(at=self.now, kind=AnswerKind.REFUSED)
        if self.engine.frozen_server(self.now):
            return HealthObservation(at=self.now, kind=AnswerKind.SILENT)
        status = 503 if self.engine.unhealthy(self.now) else 200
        return HealthObservation(
            at=self.now, kind=AnswerKind.ANSWERED, http_status=status, seconds=self.engine.health_seconds
        )

    def _metrics(self) -> MetricsObservation:
        if self.engine.refuses(self.now):
            return MetricsObservation(at=self.now, kind=AnswerKind.REFUSED)
        if self.engine.frozen_server(self.now):
            return MetricsObservation(at=self.now, kind=AnswerKind.SILENT)
        reading = MetricsReading(
            running=self.engine.running, waiting=0.0, kv_usage=self.engine.kv, generation_tokens=self.engine.tokens
        )
        return MetricsObservation(at=self.now, kind=AnswerKind.ANSWERED, reading=reading)

    def _canary(self) -> Iterable[Observation]:
        if self.outstanding is None:
            due = cadence.canary_due_at(self.window, self.target, self.policy, self.now)
            if due is None or due > self.now:
                return
            self.canaries += 1
            self.outstanding = CanaryObservation(id=f"c{self.canaries}", shape="completions/4", started_at=self.now)
        seen = self._outcome(self.outstanding)
        self.outstanding = seen if seen.outcome is CanaryOutcome.IN_PROGRESS else None
        yield seen

    def _outcome(self, canary: CanaryObservation) -> CanaryObservation:
        now, engine = self.now, self.engine
        if engine.refuses(now):
            return replace(canary, outcome=CanaryOutcome.REFUSED, finished_at=now)
        if engine.errors(now):
            status = engine.error_status
            outcome = CanaryOutcome.REJECTED if status < 500 else CanaryOutcome.SERVER_ERROR
            return replace(canary, outcome=outcome, finished_at=now, http_status=status)
        if not engine.is_silent(now) and not engine.queued(now):
            canary = self._generate(canary)
        if canary.outcome is CanaryOutcome.SUCCEEDED:
            return canary
        moved = canary.started_at if canary.last_token_at is None else canary.last_token_at
        if now - moved >= patience(self.window, self.policy, canary.shape):
            outcome = CanaryOutcome.TOKEN_GAP if canary.tokens else CanaryOutcome.NO_FIRST_TOKEN
            return replace(canary, outcome=outcome, finished_at=now, http_status=200)
        return canary

    def _generate(self, canary: CanaryObservation) -> CanaryObservation:
        pace = self.engine.seconds_per_token
        tokens = 4 if pace == 0 else min(4, int((self.now - canary.started_at) / pace))
        tokens = min(tokens, 2) if self.engine.stalls_after_two(self.now) else tokens
        if tokens <= canary.tokens:
            return canary
        self.engine.tokens += tokens - canary.tokens
        first = self.now if canary.first_token_at is None else canary.first_token_at
        canary = replace(canary, tokens=tokens, first_token_at=first, last_token_at=self.now, http_status=200)
        done = tokens == 4
        return replace(canary, outcome=CanaryOutcome.SUCCEEDED, finished_at=self.now) if done else canary
