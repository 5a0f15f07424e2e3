"""Crashes at every point, an API server that comes and goes, an operator that grants and withdraws: nothing twice.

The watchdog is its journal and `decide`; around it recorder, supervisor, operator and engine are a few lines each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from llm_watchdog.api.policy import AttemptsPolicy, RemediationPolicy, WatchdogPolicy
from llm_watchdog.api.reasons import (
    FaultClass,
    FindingReason,
    GrantableStep,
    Mode,
    Phase,
    RestartMethod,
    RotationReason,
    Rung,
    StepOutcome,
    UnknownReason,
    VerdictState,
)
from llm_watchdog.core.case import Case, EngineMark, FlushOrder, Order, Stage
from llm_watchdog.core.findings import Verdict
from llm_watchdog.core.remediation_restart import UNREACHABLE_FOR
from llm_watchdog.core.replica import Pass, Replica, decide
from llm_watchdog.core.restart_count import HOUR
from llm_watchdog.core.situation import Modes, OrderAnswer, OrderState, Situation, Traffic
from tests.sidecar.remediation_errands import Errands
from tests.sidecar.situations import START, finding

pytestmark = pytest.mark.thorough

CRASHES = st.sampled_from(["no", "no", "no", "before the journal", "after the journal", "after acting"])


def unheeded(verdict: Verdict) -> Verdict:
    """What the verdict says of an engine that may do what it wants: at best that it lives."""
    if not verdict.findings:
        return verdict
    return replace(verdict, state=VerdictState.UNKNOWN, unknown=UnknownReason.PROBE_FAILED, findings=())


class Watchdog(Errands):
    def __init__(self) -> None:
        super().__init__()
        self.journal = Replica()
        self.engine = 1
        self.listening = True
        self.asked_since = 0.0
        self.durable = True
        self.given_here: set[str] = set()
        self.honoured: list[Order] = []
        self.pending: Order | None = None
        self.kills: list[tuple[str, int]] = []
        self.began: list[datetime] = []
        """The steps of these restarts."""
        self.flushed: set[tuple[str, int]] = set()
        """Incident and number of the step."""

    @initialize(flushes=st.integers(1, 3), restarts=st.integers(1, 3))
    def serving(self, flushes: int, restarts: int) -> None:
        attempts = AttemptsPolicy(flush_cache=flushes, restart=restarts)
        self.world.facts["policy"] = WatchdogPolicy(remediation=RemediationPolicy(attempts=attempts))
        self.look(0.1, "no")
        self.world.at += 1.0
        self.canary_passes()
        self.look(0.1, "no")

    # What is seen.

    def situation(self) -> Situation:
        down = None if self.api_down_at is None else START + timedelta(seconds=self.api_down_at)
        container = f"c{self.engine}" if self.api_down_at is None else None
        order = next((case.order for case in self.memory.open_cases if case.order), None)
        facts = self.world.facts | {
            "engine": EngineMark(container_id=container, listener=self.engine if self.listening else 0),
            "api_unreachable_since": down,
            "gate": self.gate,
            "modes": Modes(mode=self.mode, paused=self.paused),
            "journal_durable": self.durable,
            "order": None if order is None else self.answer(order),
            "abortable": self.abortable,
            "abort": self.answer_to_abort(),
            "can_flush": True,
            "has_operator": True,
            "flush": self.answer_to_flush(),
            "traffic": Traffic(in_flight=self.in_flight, moving=self.in_flight > 0),
        }
        self.world.views = dict(self.seen)
        self.world.facts = facts
        self.world.replica = self.memory
        seen = self.world.situation()
        return replace(seen, verdict=unheeded(seen.verdict)) if self.mode is Mode.OFF else seen

    def answer(self, order: Order) -> OrderAnswer:
        if order in self.honoured:
            return OrderAnswer(state=OrderState.HONOURED)
        return OrderAnswer(state=OrderState.PENDING if order.id in self.given_here else OrderState.ABSENT)

    # The watchdog.

    @rule(seconds=st.sampled_from([0.1, 1.0, 12.0, 40.0, 2000.0]), crash=CRASHES)
    def look(self, seconds: float, crash: str) -> None:
        self.world.at += seconds
        situation = self.situation()
        decided = decide(self.memory, situation)
        if self.mode is Mode.OFF:
            self.check_off(decided)
        self.check_given_up(decided, situation)
        if crash == "before the journal":
            self.die()
            return
        if not self.durable and decided.orders_anything:
            return
        if self.durable:
            self.journal = decided.replica
        self.memory = decided.replica
        if crash == "after the journal":
            self.die()
            return
        self.act(decided, situation)
        self.write_gate(decided.rotation.in_rotation)
        if crash == "after acting":
            self.die()

    def check_given_up(self, decided: Pass, situation: Situation) -> None:
        """What the operator evicts by is written in a pass that sees the fault, and on a claim that holds."""
        known = {case.name for case in self.memory.cases if case.open_step is Rung.REPLACE_POD}
        for case in decided.replica.cases:
            if case.open_step is not Rung.REPLACE_POD or case.name in known:
                continue
            assert situation.faulty(case.fault), "unknown never kills"
            assert self.mode is Mode.ENFORCE
            assert not self.paused
            assert self.durable
            assert self.gate is not None
            assert not self.gate.in_rotation
            held = self.objects[case.name]
            assert held.phase is Phase.ACTING
            assert held.grant is not None
            assert held.grant.step is GrantableStep.REPLACE_POD

    def check_off(self, decided: Pass) -> None:
        """Nothing is opened, nothing is ordered, and what stays open is being proven."""
        assert not decided.orders_anything
        assert {case.name for case in decided.replica.open_cases} <= {case.name for case in self.memory.open_cases}
        for case in decided.replica.open_cases:
            assert case.stage in (Stage.ORDERED, Stage.VERIFYING) or case.flush or case.abort
        kept_out = (RotationReason.QUARANTINED, RotationReason.DRAINING)
        assert decided.rotation.in_rotation or decided.rotation.reason in kept_out

    def act(self, decided: Pass, situation: Situation) -> None:
        if decided.abort is not None:
            assert self.journal == self.memory, "recorded before it begins"
            assert self.mode is Mode.ENFORCE
            assert not self.paused
            assert decided.abort.id not in self.abort_answers, "given once while this process lives"
            self.abort_answers = {decided.abort.id: OrderState.PENDING}
        if decided.flush is not None:
            self.check_flush(decided.flush, situation)
            for case in self.memory.cases:
                if case.flush == decided.flush:
                    assert not self.paused
                    self.check_attempts(case, Rung.FLUSH_CACHE)
                    self.flushed.add((case.name, len(case.status.steps)))
            self.flush_answers = {decided.flush.id: OrderState.PENDING}
        if decided.restart is not None:
            self.check_restart(decided.restart, situation)
            self.check_attempts(self.case_of(decided.restart), Rung.RESTART)
            self.given_here.add(decided.restart.id)
            self.pending = decided.restart
            if decided.restart.method is RestartMethod.ALL_CONTAINERS:
                self.supervise()

    def die(self) -> None:
        self.memory = self.journal
        self.given_here = set()
        self.forget_orders()
        self.world.verdict = Verdict(
            state=VerdictState.UNKNOWN, at=self.world.at, message="", unknown=UnknownReason.STARTING
        )

    def check_restart(self, order: Order, situation: Situation) -> None:
        case = self.case_of(order)
        assert case.stage is Stage.ORDERED
        assert case.order == order
        assert self.journal == self.memory, "recorded before it begins"
        assert situation.faulty(case.fault), "unknown never kills"
        assert self.mode is Mode.ENFORCE
        assert not self.paused
        assert order.id not in [earlier.id for earlier in self.honoured]
        silent = (found := situation.finding(case.fault)) is not None and found.silent
        if case.ungranted:
            assert situation.api_unreachable_since is not None
            assert situation.now - situation.api_unreachable_since >= UNREACHABLE_FOR
            assert silent
        else:
            assert self.objects[case.name].phase is Phase.ACTING, "claimed"
            assert self.objects[case.name].grant is not None
        gone = self.api_down_at is not None and self.world.at - self.api_down_at >= UNREACHABLE_FOR.total_seconds()
        assert gone or (self.gate is not None and not self.gate.in_rotation)

    def check_attempts(self, case: Case, rung: Rung) -> None:
        """Each attempt but the last was made, and a verification since has seen the fault again."""
        *earlier, last = [step for step in case.status.steps if step.step is rung]
        assert last.outcome is None
        refuted = [step for step in earlier if "the fault is back" in (step.proof or "")]
        assert all(step.outcome is StepOutcome.FAILED and step.finished_at is not None for step in refuted)
        undone = [step for step in earlier if step not in refuted and step.outcome is not StepOutcome.DRY_RUN]
        assert all((step.proof or "").startswith("not carried out") for step in undone), undone
        assert case.attempt == len(refuted) + 1

    def check_flush(self, order: FlushOrder, situation: Situation) -> None:
        assert self.journal == self.memory, "recorded before it begins"
        assert self.mode is Mode.ENFORCE
        assert situation.traffic.in_flight == 0, "never beside users"
        gone = self.api_down_at is not None and self.world.at - self.api_down_at >= UNREACHABLE_FOR.total_seconds()
        assert gone or (self.gate is not None and not self.gate.in_rotation)
        assert self.flush_answers.get(order.id) is not OrderState.PENDING, "given once while this process lives"

    @rule(crash=CRASHES, state=st.sampled_from([OrderState.HONOURED, OrderState.REFUSED, OrderState.UNAVAILABLE]))
    def something_of_ours_runs_away(self, crash: str, state: OrderState) -> None:
        self.abortable = 1
        self.fault(VerdictState.FAULTY, silent=False, faults={FaultClass.RUNAWAY_GENERATION})
        self.all_goes_on(1, crash)
        self.the_abort_is_answered(state)
        self.all_goes_on(4, "no")

    @rule()
    def it_sleeps(self) -> None:
        self.world.verdict = replace(
            self.world.verdict, state=VerdictState.UNKNOWN, unknown=UnknownReason.ASLEEP, findings=()
        )

    def case_of(self, order: Order) -> Case:
        return next(case for case in self.memory.cases if case.name == order.incident)

    @rule(durable=st.booleans())
    def disk(self, durable: bool) -> None:  # noqa: FBT001
        self.durable = durable
        if durable:
            self.journal = self.memory

    # The supervisor and the kubelet.

    def supervise(self) -> None:
        """The process ends with code 88, the order is used up, all containers start anew."""
        order, self.pending = self.pending, None
        assert order is not None
        self.honoured.append(order)
        steps = [step for step in self.case_of(order).status.steps if step.step is Rung.RESTART]
        self.kills.append((order.incident, len(steps)))
        self.began.append(steps[-1].started_at)
        self.replace_engine()
        self.die()

    @rule()
    def engine_restarts_by_itself(self) -> None:
        self.replace_engine()

    def replace_engine(self) -> None:
        self.engine += 1
        self.asked_since = self.world.at
        self.world.verdict = Verdict(
            state=VerdictState.UNKNOWN, at=self.world.at, message="", unknown=UnknownReason.STARTING
        )

    @rule(listening=st.booleans())
    def listens(self, listening: bool) -> None:  # noqa: FBT001
        self.listening = listening

    # The engine, as the verdict shows it.

    @rule()
    def canary_passes(self) -> None:
        self.world.verdict = Verdict(
            state=VerdictState.HEALTHY,
            at=self.world.at,
            message="",
            last_healthy_at=self.world.at,
            last_canary_passed_at=self.world.at,
        )

    @rule(
        state=st.sampled_from([VerdictState.SUSPECT, VerdictState.FAULTY]),
        silent=st.booleans(),
        incident=st.booleans(),
        reason=st.sampled_from([FindingReason.NO_FIRST_TOKEN, FindingReason.CACHE_CORRUPT]),
        faults=st.sets(st.sampled_from(list(FaultClass)), min_size=1),
    )
    def fault(
        self,
        state: VerdictState,
        silent: bool,  # noqa: FBT001
        faults: set[FaultClass],
        incident: bool = True,  # noqa: FBT001, FBT002
        reason: FindingReason = FindingReason.NO_FIRST_TOKEN,
    ) -> None:
        certain = incident or state is VerdictState.FAULTY
        found = tuple(
            finding(since=self.world.at, state=state, silent=silent, fault=fault, incident=certain, reason=reason)
            for fault in sorted(faults)
        )
        self.world.verdict = replace(self.world.verdict, state=state, at=self.world.at, findings=found, unknown=None)

    @rule()
    def nothing_is_known(self) -> None:
        self.world.verdict = replace(
            self.world.verdict, state=VerdictState.UNKNOWN, unknown=UnknownReason.PROBE_FAILED, findings=()
        )

    @rule(times=st.integers(1, 4), crash=CRASHES)
    def all_goes_on(self, times: int, crash: str) -> None:
        """What happens most of the time, so that long ways are gone too."""
        for _ in range(times):
            if self.api_down_at is None:
                self.recorder_syncs()
                self.operator_grants(told=True)
            self.look(0.1, "no")
        if self.api_down_at is None:
            self.recorder_syncs()
        self.look(0.1, crash)

    @rule(faults=st.sets(st.sampled_from(list(FaultClass)), min_size=1), times=st.integers(1, 4))
    def a_fault_is_dealt_with(self, faults: set[FaultClass], times: int) -> None:
        for _ in range(times):
            if self.world.verdict.state is not VerdictState.FAULTY:
                self.fault(VerdictState.FAULTY, silent=True, faults=faults)
            self.all_goes_on(2, "no")

    @rule(crash=CRASHES)
    def no_restart_cures_it(self, crash: str) -> None:
        self.mode, self.paused, self.api_down_at = Mode.ENFORCE, "", None
        self.disk(durable=True)
        for _ in range(4):
            self.fault(VerdictState.FAULTY, silent=True, faults={FaultClass.STALLED_STREAM})
            self.all_goes_on(3, "no")
        self.all_goes_on(1, crash)

    @rule(crash=CRASHES, state=st.sampled_from([OrderState.HONOURED, OrderState.REFUSED]))
    def the_cache_is_to_blame(self, crash: str, state: OrderState) -> None:
        self.in_flight = 0
        faults = {FaultClass.DEGRADED_OUTPUT}
        self.fault(VerdictState.FAULTY, silent=False, faults=faults, reason=FindingReason.CACHE_CORRUPT)
        self.all_goes_on(4, crash)
        self.the_flush_is_answered(state)
        self.all_goes_on(1, "no")

    @rule(crash=CRASHES)
    def the_api_server_is_gone_for_long(self, crash: str) -> None:
        self.api_down_at = self.world.at
        self.fault(VerdictState.FAULTY, silent=True, faults={FaultClass.STALLED_STREAM})
        for seconds in (0.1, 40.0, 0.1):
            self.look(seconds, "no")
        self.look(0.1, crash)

    # What must hold.

    @invariant()
    def no_step_kills_twice(self) -> None:
        assert len(self.kills) == len(set(self.kills))

    @invariant()
    def no_replica_is_restarted_for_ever(self) -> None:
        allowed = self.world.facts["policy"].remediation.budget.max_per_replica
        began = sorted(self.began)
        assert all(later - first >= HOUR for first, later in zip(began, began[allowed:], strict=False))

    @invariant()
    def no_more_attempts_than_allowed(self) -> None:
        attempts = self.world.facts["policy"].remediation.attempts
        restarts = Counter(incident for incident, _ in self.kills)
        flushes = Counter(incident for incident, _ in self.flushed)
        assert all(number <= attempts.restart for number in restarts.values())
        assert all(number <= attempts.flush_cache for number in flushes.values())

    @invariant()
    def own_requests_are_aborted_once_in_an_incident(self) -> None:
        for case in self.memory.cases:
            aborts = [step for step in case.status.steps if step.step is Rung.ABORT_REQUEST]
            made = [
                step for step in aborts if not (step.proof or "").startswith(("not carried out", "mode is Observe"))
            ]
            assert len(made) <= 1

    @invariant()
    def what_only_waits_for_its_return_holds_nothing(self) -> None:
        for case in self.memory.open_cases:
            if case.calm_since is not None:
                assert (case.stage, case.status.phase, case.left) == (Stage.WATCHING, Phase.OPEN, False)
                assert case.open_step is None
                assert not any(case.name == incident for incident, _ in self.kills)

    @invariant()
    def a_pause_is_told_where_it_holds_something_up(self) -> None:
        for case in self.memory.open_cases:
            assert case.status.message.count("paused:") == int(bool(case.pause_note))

    @invariant()
    def a_restart_follows_only_on_a_judged_one(self) -> None:
        for case in self.memory.cases:
            restarts = [step for step in case.status.steps if step.step is Rung.RESTART]
            assert all(step.outcome is not None for step in restarts[:-1])

    @invariant()
    def one_ladder_at_a_time(self) -> None:
        climbing = [case for case in self.memory.cases if case.stage not in (Stage.WATCHING, Stage.CLOSED)]
        assert len(climbing) <= 1

    @invariant()
    def one_open_incident_per_class(self) -> None:
        faults = [case.fault for case in self.memory.cases if not case.closed]
        assert len(faults) == len(set(faults))


Watchdog.TestCase.settings = settings(max_examples=200, stateful_step_count=50)
TestWatchdog = Watchdog.TestCase
