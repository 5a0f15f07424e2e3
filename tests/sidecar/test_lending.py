"""A replica that answers unlike the others: judged by theirs, restarted once for it, and cured or left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_watchdog.api.document import encode
from llm_watchdog.api.reasons import (
    FaultClass,
    FindingReason,
    GrantableStep,
    Mode,
    Outcome,
    Rung,
    StepOutcome,
    VerdictState,
)
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.lending import Reference, lend, read_reference
from llm_watchdog.core.situation import Modes
from tests.sidecar.checked_model import Model, Patient, shaken
from tests.sidecar.situations import NEW, serving

if TYPE_CHECKING:
    from llm_watchdog.core.baseline import Baseline

START_SECONDS = 30.0
LATER = 900.0


def learned(model: Model) -> Baseline:
    """Of a replica that is there since a while."""
    return Patient(model).look(START_SECONDS).window.baseline


def reference(model: Model | None = None) -> Reference:
    """What the others answer."""
    own = learned(model or Model(noise=shaken("another")))
    return Reference(key=own.key, prompts=own.stable)


def lent(patient: Patient, theirs: Reference | None = None) -> Patient:
    patient.window = lend(patient.window, theirs or reference())
    return patient


def test_sick_from_the_start_is_found_by_the_others_answers() -> None:
    patient = Patient(Model(weights=2)).look(LATER)
    assert patient.ever() == set(), "its own baseline is sick: it finds nothing by itself"
    before = patient.made.count(CheckKind.FINGERPRINT)
    lent(patient)
    assert patient.look(0.5).findings == (), "rounds from before are no evidence"
    patient.look(START_SECONDS)
    assert patient.reasons == ["Dissents"]
    assert patient.findings[0].state is VerdictState.FAULTY
    assert patient.made.count(CheckKind.FINGERPRINT) == before + 2, "two fresh rounds, at once"


def test_a_restart_that_cures_it_is_proved_by_their_answers() -> None:
    patient = lent(Patient(Model(weights=2)).look(LATER)).look(START_SECONDS)
    patient.restart(Model(noise=shaken("cured"))).look(START_SECONDS)
    assert patient.in_rotation
    patient.look(LATER)
    assert patient.reasons == []
    assert not patient.window.baseline.kept
    assert patient.window.baseline.cached is not None, "learned anew, of a process that is well"
    patient.restart(Model(weights=3)).look(START_SECONDS)
    assert patient.reasons == ["Dissents"], "their answers are the baseline from now on"


def test_the_same_answers_after_a_restart_are_its_own_for_good() -> None:
    patient = lent(Patient(Model(weights=2)).look(LATER)).look(START_SECONDS)
    patient.restart(Model(weights=2, noise=shaken("after"))).look(START_SECONDS)
    assert patient.reasons == ["BaselineChanged"]
    assert not patient.findings[0].moves
    assert "unlike those of most other replicas" in patient.findings[0].message
    for _ in range(3):
        lent(patient).look(LATER)
        patient.restart().look(LATER)
        assert patient.reasons == [], "it is not lent theirs again"
    patient.restart(Model(weights=3)).look(START_SECONDS)
    assert patient.reasons == ["Drifted"], "it is watched by its own"


def test_other_answers_after_each_restart_are_no_cure() -> None:
    patient = lent(Patient(Model(weights=2)).look(LATER)).look(START_SECONDS)
    for weights in (3, 4):
        patient.restart(Model(weights=weights)).look(START_SECONDS)
        assert patient.reasons == ["Dissents"]


def test_who_answers_like_them_by_then_is_left_alone() -> None:
    patient = Patient(Model(weights=2)).look(LATER)
    lent(patient)
    patient.model = Model(noise=shaken("once"))
    patient.look(LATER)
    assert patient.ever() == set()


@pytest.mark.parametrize("seed", range(10))
def test_who_answers_alike_is_lent_nothing(seed: int) -> None:
    patient = Patient(Model(ties=0.1, noise=shaken(seed))).look(START_SECONDS)
    before = patient.window
    assert lend(before, reference(Model(ties=0.1, noise=shaken(f"other {seed}")))) is before


@pytest.mark.parametrize(
    "theirs",
    [
        replace(reference(), key="vllm|2"),
        replace(reference(), prompts=[]),
        replace(reference(), prompts=reference().prompts[:1]),
        replace(reference(), prompts=[replace(prompt, stable=False) for prompt in reference().prompts]),
        replace(reference(), prompts=[replace(prompt, by_id=False) for prompt in reference().prompts]),
    ],
    ids=["another model", "empty", "one prompt", "unsure", "not comparable"],
)
def test_what_cannot_be_compared_is_not_taken(theirs: Reference) -> None:
    window = Patient(Model(weights=2)).look(START_SECONDS).window
    assert lend(window, theirs) is window


def test_before_it_has_a_baseline_of_its_own_nothing_is_taken() -> None:
    window = Patient(Model(weights=2)).look(2.0).window
    assert lend(window, reference()) is window


def test_behind_a_chat_template_nothing_is_taken() -> None:
    """Yesterday's date is in what the others said when they started."""
    window = Patient(Model(weights=2), raw=False).look(START_SECONDS).window
    assert lend(window, reference()) is window


def test_it_is_taken_once() -> None:
    patient = lent(Patient(Model(weights=2)).look(LATER))
    assert lend(patient.window, reference()) is patient.window
    patient.look(START_SECONDS)
    assert lend(patient.window, reference()) is patient.window, "its evidence is not thrown away again"


def test_the_annotation_is_read_as_it_is_written() -> None:
    theirs = reference()
    assert read_reference(json.dumps(encode(theirs))) == theirs


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"prompts": []}', '{"key": "k", "prompts": [{}]}', "[" * 9000, " " * 70_000],
)
def test_what_is_no_reference(text: str) -> None:
    assert read_reference(text) is None


WINDOW = Patient(Model()).look(START_SECONDS).window
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["prompts", "key", "tokens"]), inner),
    max_leaves=8,
)


@given(JSON)
def test_whatever_stands_there_harms_nobody(document: Any) -> None:
    found = read_reference(json.dumps(document))
    assert found is None or lend(WINDOW, found) is WINDOW


# And then the ordinary way.

DISSENT: dict[str, Any] = {"fault": FaultClass.DEGRADED_OUTPUT, "silent": False}


def test_an_incident_of_one_that_keeps_its_answers_ends_in_a_report() -> None:
    world = serving().sick(reason=FindingReason.DISSENTS, **DISSENT)
    world.grant(GrantableStep.LEAVE_ROTATION).claimed().grant().claimed()
    assert len(world.orders) == 1
    world.facts["baseline"] = replace(world.facts.get("baseline") or learned(Model()), kept=True)
    world.settle(engine=NEW).healthy()
    assert world.case.status.outcome is Outcome.OBSERVED
    assert "a restart did not change what it answers" in world.case.status.message.lower()
    [*_, restart] = world.case.status.steps
    assert (restart.step, restart.outcome) == (Rung.RESTART, StepOutcome.FAILED)
    assert world.in_rotation
    assert world.replica.quarantine is None


def test_under_observe_it_is_only_told() -> None:
    world = serving(modes=Modes(mode=Mode.OBSERVE)).sick(reason=FindingReason.DISSENTS, **DISSENT)
    assert world.in_rotation
    assert [step.outcome for step in world.case.status.steps] == [StepOutcome.DRY_RUN]
    assert not world.orders
