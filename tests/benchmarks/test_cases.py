"""Which cases are played: all that can be seen, the same for the same number, and nothing without a source."""

import tomllib
from pathlib import Path

import pytest

import e2e.fault_engine.faults as catalogue
from benchmarks.detection.behaviours import FAULTY, HEALTHY, INCIDENCES, SPORADIC
from benchmarks.detection.cases import FREE, Behaviour, LoadName, draw, expand, free_hours, sporadic
from benchmarks.detection.real.sample import ONSET_SECONDS, sample
from e2e.fault_engine.faults import FAULTS
from e2e.fault_engine.faults.entry import DIALECTS

ALL = frozenset(DIALECTS)
LEFT_OUT = {
    "cross-talk-when-many": "a check of two does not show it",
    "lost-requests": "sporadic",
}


def name(fault: str) -> str:
    return fault.partition("=")[0]


def played(behaviours: tuple[Behaviour, ...]) -> set[str]:
    return {name(fault) for behaviour in behaviours for fault in behaviour.faults}


def test_every_fault_is_played_or_left_out_with_a_reason() -> None:
    faulty = {entry.name for entry in FAULTS.values() if entry.expected}
    assert played(FAULTY) | set(LEFT_OUT) == faulty
    assert not played(FAULTY) & set(LEFT_OUT)


def test_everything_healthy_is_played() -> None:
    assert played(HEALTHY) == {entry.name for entry in FAULTS.values() if not entry.expected}


def test_part_a_is_played_as_far_as_anything_shows_it() -> None:
    unseen = tomllib.loads(Path(catalogue.__file__).with_name("unseen.toml").read_text())
    rows = {row for fault in played(FAULTY) | played(SPORADIC) for row in FAULTS[fault].rows}
    assert {f"A{number}" for number in range(1, 70)} - rows - set(unseen) == {"A64"}


@pytest.mark.parametrize("behaviour", [*FAULTY, *HEALTHY, *SPORADIC], ids=lambda behaviour: behaviour.name)
def test_each_behaviour_can_be_drawn_in_each_of_its_dialects(behaviour: Behaviour) -> None:
    cases = list(expand([behaviour], ALL, range(3), 1))
    assert cases
    for case in cases:
        case.entry.make(case.argument)
        assert case.dialect in case.entry.dialects
        assert case.load in behaviour.loads
        assert (case.users == 0) == (case.load is LoadName.IDLE) or behaviour.story in ("overload", "rare-user")


def test_variants_take_turns() -> None:
    behaviour = Behaviour(name="x", says="", faults=("hang", "stall-after=2", "header-only"))
    cases = list(expand([behaviour], frozenset({"vllm"}), range(3), 1))
    assert {case.fault for case in cases} == {"hang", "stall-after", "header-only"}


def test_a_number_draws_the_same_cases_again_and_another_one_does_not() -> None:
    first, again = (list(expand(FAULTY, ALL, range(2), 7)) for _ in range(2))
    assert first == again
    assert [case.onset for case in first] != [case.onset for case in expand(FAULTY, ALL, range(2), 8)]


def test_arguments_are_drawn_within_their_bounds() -> None:
    behaviour = Behaviour(name="x", says="", faults=("stall-after=3..5",))
    drawn = {draw(behaviour, "stall-after=3..5", "vllm", str(seed)).argument for seed in range(60)}
    assert drawn == {"3", "4", "5"}


def test_free_hours_add_up_and_have_no_fault() -> None:
    cases = list(free_hours(7, ALL, 1))
    assert sum(case.seconds for case in cases) == 7 * 3600
    assert {case.behaviour for case in cases} == {FREE}
    assert not any(case.entry.effects or case.entry.expected for case in cases)
    assert {case.load for case in cases} == set(LoadName)


def test_sporadic_cases_hit_the_share_that_is_asked_for() -> None:
    cases = list(sporadic(SPORADIC, INCIDENCES, range(2), 1))
    assert {case.incidence for case in cases} == set(INCIDENCES)
    assert len(cases) == len(SPORADIC) * len(INCIDENCES) * 2


def test_the_real_sample_has_faults_whose_beginning_is_known() -> None:
    cases = sample([*FAULTY, *HEALTHY], ALL, 0, 1)
    assert len({case.dialect for case in cases}) > 5
    for case in cases:
        assert case.onset in (0, ONSET_SECONDS)
        assert set(case.entry.begins) <= {"after_wake"}
