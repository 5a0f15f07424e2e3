"""Watchdogs, operator and budget together, over random schedules of faults, crashes, delays, lost and doubled messages.

Each side is its own pure decisions on real documents; between them stand an API server with versions, caches that lag,
and processes that die between any two writes. After each step the invariants hold, and at the end, once everything is
left alone, the record is whole.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llm_watchdog.api.incident import Grant
from llm_watchdog.api.policy import PausedPolicy
from llm_watchdog.api.reasons import Mode, Outcome, Rung
from llm_watchdog.core.remediation_restart import UNREACHABLE_FOR
from llm_watchdog.core.situation import Modes
from llmworker_operator.domain.grants import GRANT_LIFETIME, HOUR, decide_grants
from llmworker_operator.domain.record import NOT_CARRIED_OUT, read_incident
from tests.fleet.member import Kill, Member
from tests.fleet.server import Document, Server
from tests.operator.making import replica, worker
from tests.sidecar.situations import START

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.thorough

PODS = ("a", "b", "c", "d")
LONG = HOUR.total_seconds() + 1

Write = tuple[str, str, Grant | None]
"""Name, the version it was decided on, and the grant or its end."""


class Disturbance(StrEnum):
    """What comes between two looks of a watchdog."""

    NOTHING = ""
    KILLED_BEFORE = "before the journal"
    KILLED_AFTER = "after the journal"
    BLIND = "the probe cannot be made"
    HEALED = "it heals by itself"
    LATE = "the watchdog is late with its claim"


CRASHES = st.sampled_from(
    [Disturbance.NOTHING, Disturbance.NOTHING, Disturbance.KILLED_BEFORE, Disturbance.KILLED_AFTER]
)


class Fleet(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.at = 0.0
        self.server = Server()
        self.down_since: float | None = None
        self.cache: dict[str, Document] = {}
        """The operator's."""
        self.writes: list[Write] = []
        self.kills: list[Kill] = []
        self.members: list[Member] = []
        self.modes = Modes()

    @initialize(allowed=st.integers(1, 2), per_hour=st.integers(1, 4), per_replica=st.integers(1, 3))
    def start(self, allowed: int, per_hour: int, per_replica: int) -> None:
        budget = {"maxUnavailable": allowed, "maxPerHour": per_hour, "maxPerReplica": per_replica, "cooldown": "10s"}
        self.worker = worker(replicas=len(PODS), watchdog={"remediation": {"budget": budget}})
        self.allowed, self.per_hour, self.per_replica = allowed, per_hour, per_replica
        self.members = [Member(pod, f"uid-{pod}", self.worker.watchdog) for pod in PODS]
        self.everybody_looks(4.0)
        self.everybody_looks(0.1)

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.at)

    def member(self, pod: str) -> Member:
        return next(member for member in self.members if member.pod == pod)

    # What happens to the engines.

    @rule(pod=st.sampled_from(PODS), curable=st.booleans())
    def it_hangs(self, pod: str, curable: bool) -> None:  # noqa: FBT001
        self._hang([self.member(pod)], curable=curable)

    @rule(curable=st.booleans())
    def all_hang(self, curable: bool) -> None:  # noqa: FBT001
        self._hang(self.members, curable=curable)

    def _hang(self, members: list[Member], *, curable: bool) -> None:
        for member in members:
            if member.hung_since is None:
                member.hung_since, member.curable = self.at, curable

    @rule(pod=st.sampled_from(PODS))
    def it_heals(self, pod: str) -> None:
        self.member(pod).heal()

    @rule(pod=st.sampled_from(PODS), sighted=st.booleans())
    def the_probe_works_or_not(self, pod: str, sighted: bool) -> None:  # noqa: FBT001
        self.member(pod).sighted = sighted

    @rule(pod=st.sampled_from(PODS))
    def the_kubelet_restarts_it(self, pod: str) -> None:
        self.member(pod).reboot(self.at)

    @rule(mode=st.sampled_from([Mode.ENFORCE, Mode.ENFORCE, Mode.OBSERVE]), paused=st.sampled_from(["", "", "a drill"]))
    def a_person_changes_the_worker(self, mode: Mode, paused: str) -> None:
        self.modes = Modes(mode=mode, paused=paused)

    # The watchdogs and their recorders.

    @rule(pod=st.sampled_from(PODS), seconds=st.sampled_from([0.1, 1.0, 15.0, 40.0]), crash=CRASHES)
    def one_looks(self, pod: str, seconds: float, crash: Disturbance) -> None:
        self.at += seconds
        self._look(self.member(pod), crash)

    def everybody_looks(self, seconds: float) -> None:
        self.at += seconds
        for member in self.members:
            self._look(member, Disturbance.NOTHING)

    def _look(self, member: Member, crash: Disturbance) -> None:
        kill = member.look(self.at, self.down_since, self.modes, crash)
        if kill is not None:
            self._check_kill(kill)
            self.kills.append(kill)

    @precondition(lambda self: self.down_since is None)
    @rule(pod=st.sampled_from(PODS))
    def one_reports(self, pod: str) -> None:
        self.member(pod).report(self.server)

    @precondition(lambda self: self.down_since is None)
    @rule(pod=st.sampled_from(PODS))
    def one_hears(self, pod: str) -> None:
        member = self.member(pod)
        for case in member.memory.cases:
            member.hear(case.name, self.server)

    # The operator.

    @precondition(lambda self: self.down_since is None)
    @rule(keep=st.integers(0, 3))
    def it_is_told(self, keep: int) -> None:
        """All but the first so many of the changes reach its cache."""
        for name in list(self.server.documents)[keep:]:
            self.cache[name] = self.server.read(name)

    @rule()
    def it_decides(self) -> None:
        """What was decided before and is not written yet is forgotten: a crash, and a new process that looks afresh."""
        paused = PausedPolicy(reason=self.modes.paused) if self.modes.paused else None
        policy = replace(self.worker.watchdog, mode=self.modes.mode, paused=paused)
        decision = decide_grants(
            policy=policy,
            incidents=[read_incident(document) for document in self.cache.values()],
            replicas=[replica(m.pod, ready=m.in_rotation) for m in self.members],
            wanted=len(PODS),
            now=self.now,
        )
        self.writes = [(i.name, i.resource_version, None) for i in decision.withdrawn]
        self.writes += [(g.incident.name, g.incident.resource_version, g.grant) for g in decision.granted]

    @precondition(lambda self: self.writes and self.down_since is None)
    @rule()
    def it_writes_one(self) -> None:
        name, version, grant = self.writes.pop(0)
        if self.server.permit(name, version, grant):
            self.cache[name] = self.server.read(name)

    def it_passes(self) -> None:
        """Undisturbed."""
        self.it_is_told(0)
        self.it_decides()
        while self.writes:
            self.it_writes_one()

    # The API server, and how it mostly goes.

    @rule()
    def the_api_server_goes_or_comes(self) -> None:
        self.down_since = self.at if self.down_since is None else None

    @rule(rounds=st.integers(1, 8), seconds=st.sampled_from([0.5, 5.0, 31.0]))
    def all_goes_on(self, rounds: int, seconds: float) -> None:
        for _ in range(rounds):
            self.everybody_looks(seconds)
            if self.down_since is None:
                for member in self.members:
                    member.report(self.server)
                self.it_passes()
                for pod in PODS:
                    self.one_hears(pod)

    @rule(
        pods=st.sets(st.sampled_from(PODS), min_size=1),
        curable=st.booleans(),
        rounds=st.integers(0, 5),
        disturbance=st.sampled_from(Disturbance),
    )
    def a_hang_is_dealt_with(
        self,
        pods: set[str],
        curable: bool,  # noqa: FBT001
        rounds: int,
        disturbance: Disturbance,
    ) -> None:
        """For so many rounds, then something comes between, and it goes on."""
        victims = [self.member(pod) for pod in sorted(pods)]
        self._hang(victims, curable=curable)
        self.all_goes_on(rounds, 1.0)
        self.at += 0.1
        match disturbance:
            case Disturbance.KILLED_BEFORE | Disturbance.KILLED_AFTER:
                self._look(victims[0], disturbance)
            case Disturbance.BLIND:
                for victim in victims:
                    victim.sighted = False
            case Disturbance.HEALED:
                for victim in victims:
                    victim.heal()
            case Disturbance.LATE if self.down_since is None:
                # It goes for its grant, which is withdrawn before the claim arrives.
                self.everybody_looks(0.1)
                self.at += GRANT_LIFETIME.total_seconds() + 1
                self.it_passes()
                for victim in victims:
                    victim.report(self.server)
        self.all_goes_on(4, 5.0)

    @rule()
    def an_hour_passes(self) -> None:
        self.at += LONG

    # What must hold.

    def _check_kill(self, kill: Kill) -> None:
        hour = [k for k in self.kills if k.granted and timedelta() <= kill.at - k.at < HOUR]
        if not kill.granted:
            assert self.down_since is not None
            assert self.at - self.down_since >= UNREACHABLE_FOR.total_seconds()
            return
        held = read_incident(self.server.read(kill.incident))
        assert held.claimed, "claimed at the API server before it begins"
        assert held.grant is not None, "the grant that it claimed was withdrawn"
        others = {i.pod_uid for i in self._held() if i.claimed} - {f"uid-{kill.pod}"}
        assert len(others) < self.allowed, "more at once than the budget allows"
        assert len(hour) < self.per_hour
        assert len([k for k in hour if k.pod == kill.pod]) < self.per_replica

    def _held(self) -> list[Any]:
        return [read_incident(document) for document in self.server.documents.values()]

    @invariant()
    def no_step_is_done_twice(self) -> None:
        done = [(kill.incident, kill.step) for kill in self.kills]
        assert len(done) == len(set(done))

    @invariant()
    def one_open_incident_of_a_replica(self) -> None:
        """There is one kind of fault here."""
        for member in self.members:
            assert len([case for case in member.memory.cases if not case.closed]) <= 1

    def teardown(self) -> None:
        """Everything heals and is left alone: the record is whole, closed, and tells of every restart."""
        if not self.members:
            return
        self.modes = Modes()
        self.down_since = None
        for member in self.members:
            member.heal()
        for _ in range(12):
            self.all_goes_on(1, 31.0)
        held = {i.name: i for i in self._held()}
        for member in self.members:
            assert member.recorded <= held.keys(), "a record is lost"
        assert all(i.closed for i in held.values())
        for kill in self.kills:
            restarts = [step for step in held[kill.incident].steps if step.step == Rung.RESTART]
            assert len(restarts) >= kill.step, "a restart is not in the record"
            assert restarts[kill.step - 1].outcome not in NOT_CARRIED_OUT, "it is there as one that was not made"
        quarantined = {i.pod_name for i in held.values() if i.outcome == Outcome.QUARANTINED}
        assert all(m.in_rotation for m in self.members if m.pod not in quarantined), "somebody was left out"


Fleet.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestFleet = Fleet.TestCase
