"""Every fault has its scene: what the catalogue says it needs is provided."""

from __future__ import annotations

import pytest

from e2e.fault_engine.faults import FAULTS, make_fault
from e2e.matrix.scenes import End, Power, Put, Scene, cases, named_scenes, scene_of

BY_CANARY = "two streams at once", "the same prompt before and after", "the same prompt twice"
"""The watchdog does that itself."""


def test_only_faults_that_there_are_have_scenes() -> None:
    assert named_scenes() <= FAULTS.keys()


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_what_a_fault_needs_is_provided(name: str) -> None:
    entry, scene = FAULTS[name], scene_of(name)
    if entry.needs and entry.seen_by != "nothing" and entry.needs not in BY_CANARY:
        assert scene != Scene(), entry.needs
    if entry.effects:
        assert scene.from_start or any(isinstance(step, Put) for step in scene.steps)
        make_fault(name, scene.argument)


def test_whoever_is_put_to_sleep_is_woken() -> None:
    for name in FAULTS:
        steps = scene_of(name).steps
        assert steps.count(Power.SLEEP) == steps.count(Power.WAKE)


def test_every_entry_is_played_but_those_that_nothing_shows() -> None:
    played = {(case.fault, case.dialect) for case in cases()}
    unseen = {entry.name for entry in FAULTS.values() if entry.part == "A" and entry.seen_by == "nothing"}
    assert played == {
        (e.name, d) for e in FAULTS.values() for d in e.dialects if e.name not in unseen and d not in e.unseen
    }


def test_words_of_another_are_held_for_a_person() -> None:
    mixed = {case.fault for case in cases() if "CrossTalk" in case.right}
    assert {scene_of(name).end for name in mixed} == {End.QUARANTINED}
