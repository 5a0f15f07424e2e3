"""A fault that comes and goes for an hour is counted on one incident, and brings no replica down and no record up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.api.reasons import (
    FaultClass,
    FindingReason,
    GrantableStep,
    Mode,
    Outcome,
    Phase,
    Rung,
    StepOutcome,
    VerdictState,
)
from llm_watchdog.clock import Clock
from llm_watchdog.core.case import Case, Stage
from llm_watchdog.core.remediation_end import QUIET
from llm_watchdog.core.replica import forget
from llm_watchdog.core.situation import Modes, OrderAnswer, OrderState
from llm_watchdog.journal import Journal
from llm_watchdog.recorder.kubernetes import KubernetesRecorder
from tests.sidecar.fake_api import FakeApi
from tests.sidecar.situations import World, finding, serving

if TYPE_CHECKING:
    from pathlib import Path

SICK, WELL = 8.0, 2.0
"""Seconds of each flap."""
FLAPS = 360
"""An hour of them."""
STEPS_MAX = 64
"""Of `status.steps` in the schema."""


@dataclass
class Storm:
    """A replica that flaps, an API server that acknowledges, an operator that grants what costs no restart."""

    world: World = field(default_factory=serving)
    kind: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, Case] = field(default_factory=dict)

    def flap(self, times: int = FLAPS) -> Storm:
        for _ in range(times):
            self.world.sick(WELL, **self.kind)
            self._permit()
            self.note()
            self.world.healthy(SICK)
            self.world.facts |= {"abort": None, "flush": None, "abortable": 1}
            self.world.settle()
            self.note()
        return self

    def _permit(self) -> None:
        """Leaving rotation, an abort, a flush; each is asked for at most once in a flap."""
        world = self.world
        for _ in range(4):
            if world.case.status.requested_step is GrantableStep.LEAVE_ROTATION:
                world.grant(GrantableStep.LEAVE_ROTATION).claimed()
            for errand in ("abort", "flush"):
                if getattr(world.case, errand) is not None:
                    world.facts[errand] = OrderAnswer(state=OrderState.HONOURED)
            world.settle()

    def note(self) -> None:
        cases = self.world.replica.cases
        self.seen |= {case.name: case for case in cases}
        acknowledged = {case.name: case.revision for case in cases}
        self.world.replica = forget(self.world.replica, acknowledged)

    @property
    def last(self) -> Case:
        return list(self.seen.values())[-1]

    @property
    def occurrences(self) -> int:
        return sum(case.status.occurrences for case in self.seen.values())


SUSPECT, FAULTY = VerdictState.SUSPECT, VerdictState.FAULTY
KINDS = [
    pytest.param({"state": SUSPECT}, {}, Outcome.SELF_HEALED, id="silent, suspected"),
    pytest.param({"state": FAULTY}, {}, Outcome.SELF_HEALED, id="silent, certain"),
    pytest.param({"state": SUSPECT, "silent": False}, {}, Outcome.SELF_HEALED, id="asks to leave"),
    pytest.param({"state": FAULTY, "silent": False}, {}, Outcome.SELF_HEALED, id="asks to leave, and is drained"),
    pytest.param({"state": FAULTY}, {"modes": Modes(mode=Mode.OBSERVE)}, Outcome.OBSERVED, id="observed"),
    pytest.param(
        {"state": SUSPECT, "silent": False, "fault": FaultClass.RUNAWAY_GENERATION},
        {"abortable": 1},
        Outcome.SELF_HEALED,
        id="an abort seems to cure it",
    ),
    pytest.param(
        {
            "state": FAULTY,
            "silent": False,
            "fault": FaultClass.DEGRADED_OUTPUT,
            "reason": FindingReason.CACHE_CORRUPT,
        },
        {"can_flush": True},
        Outcome.SELF_HEALED,
        id="a flush seems to cure it",
    ),
]


@pytest.mark.parametrize(("kind", "facts", "outcome"), KINDS)
def test_an_hour_of_flapping_is_counted_on_one_incident(
    kind: dict[str, Any], facts: dict[str, Any], outcome: Outcome
) -> None:
    storm = Storm(world=serving(**facts), kind=kind).flap()
    assert len(storm.seen) == 2, "the first, and the one that counts the others"
    assert storm.occurrences == FLAPS
    assert len(storm.last.status.steps) <= 4
    assert len(storm.last.status.message) < 200
    assert not storm.world.orders, "it was well again each time before a restart was permitted"
    assert storm.world.in_rotation
    storm.world.healthy(QUIET.total_seconds())
    storm.note()
    assert storm.last.status.outcome is outcome
    assert f"{FLAPS - 1} times" in storm.last.status.message


def test_between_two_flaps_it_serves_and_holds_nothing() -> None:
    storm = Storm(kind={"state": FAULTY, "silent": False}).flap(2)
    held = storm.world.case
    assert (held.stage, held.status.phase, held.status.requested_step) == (Stage.WATCHING, Phase.OPEN, None)
    assert storm.world.in_rotation
    storm.world.sick(WELL, state=SUSPECT, silent=False)
    assert storm.world.case.status.requested_step is GrantableStep.LEAVE_ROTATION, "it asks again before it leaves"


def test_a_fault_that_comes_back_late_is_another_one() -> None:
    storm = Storm(kind={"state": SUSPECT}).flap(1)
    storm.world.healthy(QUIET.total_seconds())
    storm.flap(1)
    assert [case.status.outcome for case in storm.seen.values()] == [Outcome.SELF_HEALED] * 2


def test_a_fault_that_stays_climbs_from_the_drain() -> None:
    storm = Storm(kind={"state": FAULTY, "silent": False}).flap(5)
    storm.world.sick(WELL, state=FAULTY, silent=False).grant(GrantableStep.LEAVE_ROTATION).claimed()
    assert [step.step for step in storm.world.case.status.steps] == [Rung.DRAIN]
    assert storm.world.case.status.requested_step is GrantableStep.RESTART
    storm.world.grant().claimed()
    assert len(storm.world.orders) == 1
    storm.world.settle(engine=replace(storm.world.facts["engine"], container_id="containerd://b")).healthy()
    assert storm.world.case.status.outcome is Outcome.RECOVERED, "at once: it gives the budget back"


def test_a_cure_that_did_not_last_is_not_tried_again() -> None:
    kind = {"state": SUSPECT, "silent": False, "fault": FaultClass.RUNAWAY_GENERATION}
    storm = Storm(world=serving(abortable=1), kind=kind).flap(2)
    [abort] = storm.last.status.steps
    assert (abort.step, abort.outcome) == (Rung.ABORT_REQUEST, StepOutcome.SUCCEEDED)
    storm.flap(1)
    [abort] = storm.last.status.steps
    assert abort.outcome is StepOutcome.FAILED
    assert "the fault is back" in (abort.proof or "")


def test_a_cure_that_lasts_is_the_recovery() -> None:
    kind = {"state": SUSPECT, "silent": False, "fault": FaultClass.RUNAWAY_GENERATION}
    storm = Storm(world=serving(abortable=1), kind=kind).flap(2)
    detected, calm = storm.last.incident.spec.detected_at, storm.last.calm_since
    storm.world.healthy(QUIET.total_seconds())
    storm.note()
    assert storm.last.status.outcome is Outcome.RECOVERED
    assert calm is not None
    assert storm.last.status.time_to_recover_seconds == (calm - detected).total_seconds(), "not when it was believed"


def test_a_graver_fault_does_not_wait_behind_one_that_is_over() -> None:
    storm = Storm(kind={"state": SUSPECT, "fault": FaultClass.ENGINE_DEAD}).flap(2)
    storm.world.sick(WELL, state=SUSPECT, fault=FaultClass.STALLED_STREAM)
    assert not storm.world.in_rotation
    assert [case.calm_since is None for case in storm.world.replica.open_cases] == [False, True]


def test_what_is_not_known_ends_no_storm() -> None:
    storm = Storm(kind={"state": SUSPECT}).flap(2)
    storm.world.unknown().look(2 * QUIET.total_seconds())
    assert not storm.world.case.closed


def test_a_watchdog_that_starts_anew_goes_on_counting(tmp_path: Path) -> None:
    storm = Storm(kind={"state": SUSPECT}).flap(3)
    Journal(tmp_path).write(storm.world.replica)
    storm.world.replica = Journal(tmp_path).replay().replica
    storm.flap(3)
    assert len(storm.seen) == 2
    assert storm.occurrences == 6


def test_its_journal_does_not_grow_while_the_api_server_is_gone() -> None:
    """Closed incidents are remembered until they are acknowledged."""
    world = serving()
    for _ in range(FLAPS):
        world.sick(WELL, state=SUSPECT).healthy(SICK)
    assert len(world.replica.cases) == 2


def test_a_hundred_faults_at_once_are_one_for_each_class() -> None:
    world = serving()
    for _ in range(100):
        found = tuple(finding(since=world.at, fault=fault, state=SUSPECT, silent=False) for fault in FaultClass)
        world.verdict = replace(world.verdict, state=SUSPECT, findings=found)
        world.settle().healthy(SICK)
    assert len(world.replica.cases) <= 2 * len(FaultClass)


async def test_the_recorder_makes_two_objects_and_a_handful_of_events() -> None:
    api, clock, world = FakeApi(), Clock(), serving()
    recorder = KubernetesRecorder(api.kube(clock.now), world.situation().identity, clock.now)
    work = asyncio.create_task(recorder.run())
    try:
        for _ in range(FLAPS // 4):
            await _recorded(recorder, world.sick(WELL, state=FAULTY, silent=False))
            await _recorded(recorder, world.healthy(SICK))
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    held = api.objects["llmincidents"]
    assert len(held) == 2
    assert sum(document["status"]["occurrences"] for document in held.values()) == FLAPS // 4
    assert all(len(document["status"].get("steps", [])) <= STEPS_MAX for document in held.values())
    assert len(api.objects["events"]) < 10
    assert {document["status"]["phase"] for document in held.values()} == {"Closed", "Open"}


async def _recorded(recorder: KubernetesRecorder, world: World) -> None:
    assert world.last is not None
    recorder.submit(world.replica.cases, world.last.rotation)
    async with asyncio.timeout(20):
        while {c.name: c.revision for c in world.replica.cases} != dict(recorder.view().acknowledged):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    world.replica = forget(world.replica, recorder.view().acknowledged)
