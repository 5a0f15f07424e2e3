"""One replica: the watchdog's own decisions and its journal; engine, supervisor and recorder in a few lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from llm_watchdog.api.incident import PodRef
from llm_watchdog.api.policy import WatchdogPolicy
from llm_watchdog.api.reasons import FaultClass, Mode, RestartMethod, Rung, UnknownReason, VerdictState
from llm_watchdog.core.case import Case, EngineMark, Order, Stage
from llm_watchdog.core.findings import Verdict
from llm_watchdog.core.replica import Replica, decide, forget
from llm_watchdog.core.situation import Gate, Identity, IncidentView, Modes, OrderAnswer, OrderState, Situation, Traffic
from llm_watchdog.recorder import documents
from tests.sidecar.situations import START, finding

if TYPE_CHECKING:
    from tests.fleet.server import Server

RESTART_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Kill:
    """An engine restarted by order. `step` counts the restarts that its incident shows; this one began `at`."""

    pod: str
    incident: str
    step: int
    at: datetime
    granted: bool


@dataclass
class Member:
    """`hung_since` is the truth about its engine; what the watchdog knows of it, it has to look at."""

    pod: str
    uid: str
    policy: WatchdogPolicy
    engine: int = 1
    hung_since: float | None = None
    curable: bool = True
    sighted: bool = True
    """The probe can be made."""
    memory: Replica = field(default_factory=Replica)
    journal: Replica = field(default_factory=Replica)
    gate: Gate | None = None
    seen: dict[str, IncidentView] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    honoured: set[str] = field(default_factory=set)
    recorded: set[str] = field(default_factory=set)
    """Incidents that ever stood in its journal."""
    started: float = 0.0
    booted: float = 0.0

    # What is seen.

    def verdict(self, at: float) -> Verdict:
        """Of a canary that began and ended just now."""
        if not self.sighted or at < self.booted + RESTART_SECONDS:
            return Verdict(state=VerdictState.UNKNOWN, at=at, message="", unknown=UnknownReason.PROBE_FAILED)
        if self.hung_since is None:
            return Verdict(state=VerdictState.HEALTHY, at=at, message="", last_healthy_at=at, last_canary_passed_at=at)
        found = finding(since=at, fault=FaultClass.STALLED_STREAM)
        return Verdict(state=VerdictState.FAULTY, at=at, message=found.message, findings=(found,))

    def situation(self, at: float, down_since: float | None, modes: Modes) -> Situation:
        now = START + timedelta(seconds=at)
        order = next((case.order for case in self.memory.open_cases if case.order), None)
        return Situation(
            now=now,
            monotonic=at,
            process_started_at=START + timedelta(seconds=self.started),
            identity=Identity(worker="qwen", namespace="demo", pod=PodRef(name=self.pod, uid=self.uid, node="n1")),
            verdict=self.verdict(at),
            policy=self.policy,
            modes=modes,
            engine=EngineMark(container_id=f"c{self.engine}" if down_since is None else None, listener=self.engine),
            traffic=Traffic(in_flight=0, moving=False),
            views=dict(self.seen),
            gate=self.gate,
            api_unreachable_since=None if down_since is None else START + timedelta(seconds=down_since),
            restart_method=RestartMethod.ALL_CONTAINERS,
            last_restart_at=self.memory.last_restart_at,
            order=None if order is None else self._answer(order),
        )

    def _answer(self, order: Order) -> OrderAnswer:
        if order.id in self.honoured:
            return OrderAnswer(state=OrderState.HONOURED)
        return OrderAnswer(state=OrderState.PENDING if order.id in self.given else OrderState.ABSENT)

    # What it does.

    def look(self, at: float, down_since: float | None, modes: Modes, crash: str) -> Kill | None:
        """A pass; killed before the journal is written, after it, or not at all."""
        situation = self.situation(at, down_since, modes)
        decided = decide(forget(self.memory, self.acknowledged), situation)
        if crash == "before the journal":
            self.begin_again(at)
            return None
        self.journal = self.memory = decided.replica
        self.recorded |= {case.name for case in decided.replica.cases}
        if crash == "after the journal":
            self.begin_again(at)
            return None
        if down_since is None and (self.gate is None or self.gate.in_rotation != decided.rotation.in_rotation):
            self.gate = Gate(in_rotation=decided.rotation.in_rotation, since=situation.now)
        return None if decided.restart is None else self._supervise(decided.restart, situation)

    def _supervise(self, order: Order, situation: Situation) -> Kill:
        """The order is used up, the watchdog's process ends, all containers start anew."""
        case = next(case for case in self.memory.cases if case.name == order.incident)
        assert self.journal == self.memory, "recorded before it begins"
        assert case.stage is Stage.ORDERED
        assert situation.verdict.state is VerdictState.FAULTY, "unknown never kills"
        assert self.hung_since is not None, "a healthy engine was killed"
        assert situation.modes.of(case.fault) is Mode.ENFORCE
        assert not situation.modes.paused
        assert order.id not in self.honoured
        self.honoured.add(order.id)
        self.reboot(situation.monotonic)
        steps = [step for step in case.status.steps if step.step is Rung.RESTART]
        return Kill(self.pod, order.incident, len(steps), steps[-1].started_at, granted=not case.ungranted)

    def reboot(self, at: float) -> None:
        """The engine's containers start anew, and the watchdog's with them."""
        self.engine += 1
        self.booted = at
        if self.curable:
            self.hung_since = None
        self.begin_again(at)

    def begin_again(self, at: float) -> None:
        """What is not in the journal is forgotten, and so is what was read."""
        self.memory = self.journal
        self.started = at
        self.given, self.seen, self.acknowledged = set(), {}, {}

    # Its recorder.

    def report(self, server: Server) -> None:
        """Every case is brought to the API server, as far as it does not hold it yet."""
        for case in self.memory.cases:
            server.create(documents.incident(case))
            if case.stage is Stage.CLAIMING:
                self._claim(case, server)
            elif server.report(documents.status(case)):
                self.acknowledged[case.name] = case.revision
            self.hear(case.name, server)

    def _claim(self, case: Case, server: Server) -> None:
        """Against the version in which it has seen the grant stand."""
        view = self.seen.get(case.name)
        if view is not None and view.grant is not None and view.phase.value == "AwaitingGrant":
            server.report(documents.status(case, resource_version=view.resource_version))

    def hear(self, name: str, server: Server) -> None:
        """The watch tells, or a read does."""
        if name in server.documents:
            self.seen[name] = documents.view(server.read(name))

    @property
    def in_rotation(self) -> bool:
        """As the API server holds it."""
        return self.gate is not None and self.gate.in_rotation

    def heal(self) -> None:
        """By itself: whatever stopped it is over."""
        self.hung_since = None
        self.curable = True
        self.sighted = True
