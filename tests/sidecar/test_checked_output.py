"""Sick output is found and healthy output is not: rounds of checks of a made-up model, judged on the default policy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType, WatchdogPolicy
from llm_watchdog.api.reasons import FaultClass, VerdictState
from llm_watchdog.api.thresholds import DegradedOutputPolicy, DetectorsPolicy, KnownAnswer
from llm_watchdog.core.canaries import CanaryOutcome, Flaw
from llm_watchdog.core.check_prompts import FINGERPRINT
from llm_watchdog.core.check_rounds import Arm, CheckKind
from tests.sidecar.checked_model import TARGET, Distort, Model, Patient, Said, shaken

if TYPE_CHECKING:
    from llm_watchdog.core.check_prompts import CheckPrompt

START_SECONDS = 30.0
LATER = 900.0

HEALTHY = {
    "a model on a GPU": Model(),
    "with many near ties": Model(ties=0.15),
    "a tiny random model that repeats": Model(vocabulary=2, echoes=False, stops=False, ties=0.1),
    "one token for ever": Model(vocabulary=1, echoes=False, stops=False),
    "a base model that cannot echo": Model(echoes=False, stops=False),
    "tells no token ids": Model(tells_ids=False, tells_logprobs=False, ties=0.01),
    "tells no log probabilities": Model(tells_logprobs=False, ties=0.01),
    "a gateway that fills log probabilities with null": Model(
        distort=lambda said, _prompt, _arm: replace(
            said, logprobs=(None,), outcome=CanaryOutcome.INCOMPLETE, flaw=Flaw.BROKEN_NUMBERS
        )
    ),
}


def only(what: Distort, *arms: Arm) -> Distort:
    return lambda said, prompt, arm: what(said, prompt, arm) if arm in arms else said


def marks(said: Said, _prompt: CheckPrompt, _arm: Arm) -> Said:
    return replace(said, ids=(0,) * 12, words="!" * 12, logprobs=(-0.1,) * 12, finish="length")


def sure_of_another(said: Said, _prompt: CheckPrompt, _arm: Arm) -> Said:
    """As sure of every wrong token as the sound model is of the right one."""
    return replace(said, ids=tuple(token + 1 for token in said.ids))


def other_path(said: Said, _prompt: CheckPrompt, _arm: Arm) -> Said:
    return replace(said, ids=tuple(token + 1 for token in said.ids), logprobs=tuple(-3.0 for _ in said.ids))


def nan(said: Said, _prompt: CheckPrompt, _arm: Arm) -> Said:
    return replace(said, logprobs=(None,) * len(said.ids), outcome=CanaryOutcome.INCOMPLETE, flaw=Flaw.BROKEN_NUMBERS)


def refused_nan(said: Said, _prompt: CheckPrompt, _arm: Arm) -> Said:
    return replace(said, ids=(), logprobs=(), outcome=CanaryOutcome.REJECTED, flaw=Flaw.BROKEN_NUMBERS, http_status=400)


def endless(said: Said, prompt: CheckPrompt, _arm: Arm) -> Said:
    more = tuple(range(prompt.max_tokens - len(said.ids)))
    return replace(said, ids=said.ids + more, logprobs=said.logprobs + (-0.1,) * len(more), finish="length")


def robbed(said: Said, _prompt: CheckPrompt, _arm: Arm) -> Said:
    return replace(said, ids=(9, 8), words="something", logprobs=(-0.1, -0.1))


class Swapped:
    """Each concurrent stream gets what the other one was to be told."""

    def __init__(self) -> None:
        self.alone: dict[str, Said] = {}

    def __call__(self, said: Said, prompt: CheckPrompt, arm: Arm) -> Said:
        if prompt.name not in ("one", "other"):
            return said
        if arm is Arm.ALONE:
            self.alone[prompt.name] = said
        return self.alone[{"one": "other", "other": "one"}[prompt.name]] if arm is Arm.BESIDE and self.alone else said


class Bleeding:
    """What an abandoned stream was to be told comes out of the next one."""

    def __init__(self) -> None:
        self.left: Said | None = None

    def __call__(self, said: Said, _prompt: CheckPrompt, arm: Arm) -> Said:
        if arm is Arm.DROPPED:
            self.left = said
            return replace(said, outcome=CanaryOutcome.WITHDRAWN)
        left, self.left = self.left, None
        return left or said


def held(said: Said, prompt: CheckPrompt, arm: Arm) -> Said:
    silent = prompt.name == "demanded" and arm is Arm.BESIDE
    return replace(said, ids=(), logprobs=(), outcome=CanaryOutcome.NO_FIRST_TOKEN) if silent else said


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_models_pass_and_stay_unsuspected(name: str) -> None:
    target = TARGET if "gateway" not in name else EngineTarget(type=EngineType.OPENAI, concurrency=4)
    patient = Patient(replace(HEALTHY[name], noise=shaken(name)), target=target).look(START_SECONDS)
    assert patient.in_rotation
    patient.look(LATER).restart().look(LATER).sleep_and_wake().look(LATER)
    patient.users = lambda now: now % 1000 < 990
    patient.look(LATER)
    assert patient.ever() == set()
    assert patient.in_rotation


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_drift_across_restarts(seed: int) -> None:
    patient = Patient(Model(ties=0.1, noise=shaken(seed))).look(START_SECONDS)
    for _ in range(5):
        patient.restart().look(300)
    assert patient.ever() == set()


SICK: dict[str, tuple[Distort, str]] = {
    "exclamation marks": (marks, "Repetition"),
    "other weights": (other_path, "Drifted"),
    "NaN as null": (nan, "BrokenNumbers"),
    "NaN as 400": (refused_nan, "BrokenNumbers"),
    "no end where there was one": (
        lambda said, prompt, arm: endless(said, prompt, arm) if prompt.name == "stop" else said,
        "NoStop",
    ),
    "a corrupt cache": (only(other_path, Arm.CACHED), "CacheCorrupt"),
    "a cache that is sure of what is wrong": (only(sure_of_another, Arm.CACHED), "CacheCorrupt"),
    "weights that are sure of what is wrong": (sure_of_another, "Drifted"),
    "NaN on a cache hit only": (only(nan, Arm.CACHED), "CacheCorrupt"),
    "words of another": (Swapped(), "ForeignContent"),
    "robbed beside another": (only(robbed, Arm.BESIDE), "OwnWordsMissing"),
    "can no longer repeat": (
        lambda said, prompt, arm: robbed(said, prompt, arm) if prompt.name in ("one", "other") else said,
        "WrongAnswer",
    ),
}


BESIDE = ["exclamation marks", "other weights", "NaN as null", "words of another", "can no longer repeat"]


@pytest.mark.parametrize("name", BESIDE)
def test_what_becomes_sick_beside_users_is_found_too(name: str) -> None:
    distort, reason = SICK[name]
    patient = Patient(users=lambda now: now > START_SECONDS).look(START_SECONDS + 100)
    patient.model = replace(patient.model, distort=distort)
    patient.look(700)
    assert reason in patient.ever()


@pytest.mark.parametrize("name", SICK)
def test_what_becomes_sick_is_found_in_two_rounds(name: str) -> None:
    distort, reason = SICK[name]
    patient = Patient().look(START_SECONDS)
    patient.model = replace(patient.model, distort=distort)
    patient.look(70)
    assert patient.reasons == [reason]
    assert patient.verdicts[-1].state is VerdictState.FAULTY
    patient.model = Model()
    patient.look(70)
    assert patient.reasons == [], "it stands until a round says otherwise"


@pytest.mark.parametrize("name", [name for name in SICK if "repeat" not in name])
def test_what_is_sick_after_a_wake_never_enters_rotation(name: str) -> None:
    distort, reason = SICK[name]
    patient = Patient().look(START_SECONDS)
    assert patient.in_rotation
    patient.sleep_and_wake(replace(patient.model, distort=distort))
    healthy_before_proof = [v for v in patient.look(2.0).verdicts[-1:] if not v.findings and patient.in_rotation]
    assert healthy_before_proof == []
    assert reason in patient.look(20).reasons


def test_one_bad_round_is_no_finding_and_the_confirming_one_follows_at_once() -> None:
    patient = Patient().look(START_SECONDS)
    patient.model = replace(patient.model, distort=marks)
    made = len(patient.made)
    while "Fingerprint" not in patient.made[made:]:
        patient.look(0.5)
    patient.model = Model()
    made = len(patient.made)
    patient.look(2)
    assert patient.made[made] == "Fingerprint"
    assert patient.ever() == set()


def test_stale_content_is_found_at_start() -> None:
    patient = Patient(Model(distort=Bleeding())).look(START_SECONDS)
    assert "StaleContent" in patient.reasons


def test_slots_that_do_not_come_back_are_found_at_start() -> None:
    patient = Patient(Model(distort=held)).look(START_SECONDS)
    assert patient.reasons == ["SlotsNotReturned"]
    assert patient.made.count(CheckKind.SLOTS) == 1, "each dropped stream may cost another slot"


def test_a_foreign_answer_is_known_by_its_signature_where_the_model_cannot_echo() -> None:
    patient = Patient(Model(echoes=False)).look(START_SECONDS)
    patient.model = replace(patient.model, distort=Swapped())
    assert patient.look(70).reasons == ["ForeignContent"]
    assert patient.findings[0].fault is FaultClass.CROSS_TALK


def test_lost_words_mean_nothing_where_it_never_had_them() -> None:
    patient = Patient(Model(echoes=False, distort=only(robbed, Arm.BESIDE))).look(START_SECONDS).look(LATER)
    assert patient.ever() == set()


def test_a_replica_that_was_sick_from_the_start_is_judged_by_what_needs_no_baseline() -> None:
    assert Patient(Model(distort=nan)).look(START_SECONDS).reasons == ["BrokenNumbers"]
    assert Patient(Model(distort=only(other_path, Arm.CACHED))).look(START_SECONDS).reasons == ["CacheCorrupt"]
    assert Patient(Model(distort=Swapped())).look(START_SECONDS).reasons == ["ForeignContent"]


def test_without_a_proven_hit_nothing_is_said_about_the_cache() -> None:
    patient = Patient(Model(distort=only(other_path, Arm.CACHED)), hit_tokens=None).look(START_SECONDS).look(LATER)
    assert patient.ever() == set()
    assert patient.in_rotation


def test_the_date_in_a_chat_template_is_no_drift() -> None:
    patient = Patient(Model(template="today is Monday"), raw=False).look(START_SECONDS)
    for day in ("Tuesday", "Wednesday"):
        patient.model = replace(patient.model, template=f"today is {day}")
        patient.look(LATER).restart().look(LATER)
    assert patient.ever() == set()


def untold(said: Said, _prompt: CheckPrompt, _arm: Arm) -> Said:
    """As DB-GPT's worker does, which never says why it ended."""
    return replace(said, finish=None)


def test_where_no_finish_reason_is_told_the_length_says_that_it_no_longer_stops() -> None:
    patient = Patient(Model(distort=untold), raw=False).look(START_SECONDS)
    assert patient.look(LATER).ever() == set()
    patient.model = replace(
        patient.model,
        distort=lambda said, prompt, arm: (
            untold(endless(said, prompt, arm), prompt, arm) if prompt.name == "stop" else untold(said, prompt, arm)
        ),
    )
    assert patient.look(LATER).ever() == {"NoStop"}


def test_the_same_words_in_smaller_chunks_are_no_answer_without_end() -> None:
    """Where chunks are counted for tokens, twelve of them may become twenty-four."""
    words = "".join(f"word {number} " for number in range(4))

    def in_chunks(count: int) -> Distort:
        return lambda said, prompt, _arm: (
            replace(said, ids=tuple(range(count)), logprobs=(), words=words, finish=None)
            if prompt.name == "stop"
            else replace(said, finish=None)
        )

    model = Model(distort=in_chunks(8), tells_ids=False, tells_logprobs=False, ties=0.0)
    patient = Patient(model, raw=False).look(START_SECONDS)
    patient.model = replace(model, distort=in_chunks(24))
    assert patient.look(LATER).ever() == set()


def knows(*names: str) -> Distort:
    """Answers these of the fixed questions rightly, and the others with something else."""
    answers = {p.name: f"It is {p.right}." if p.name in names else f"q{p.right}x" for p in FINGERPRINT}
    return lambda said, prompt, _arm: replace(said, words=answers.get(prompt.name, said.words))


@pytest.mark.parametrize("users_come_at", [START_SECONDS, float("inf")])
def test_behind_a_template_it_is_sick_when_nothing_that_it_knew_is_right(users_come_at: float) -> None:
    model = Model(distort=knows("days", "capital", "stop"))
    patient = Patient(model, raw=False, users=lambda now: now > users_come_at).look(START_SECONDS)
    for distort, found in ((knows("capital"), set()), (knows(), {"WrongAnswer"})):
        patient.model = replace(patient.model, distort=distort)
        patient.look(700)
        assert patient.ever() == found


def test_what_it_never_knew_is_not_missed() -> None:
    patient = Patient(Model(distort=knows("capital")), raw=False).look(START_SECONDS)
    patient.model = replace(patient.model, distort=knows())
    patient.look(LATER)
    assert patient.ever() == set()


def test_fluent_drift_that_a_restart_does_not_cure_is_told_and_never_acted_on() -> None:
    patient = Patient().look(START_SECONDS)
    patient.restart(Model(weights=2))
    patient.look(START_SECONDS)
    assert patient.reasons == ["Drifted"]
    patient.restart(Model(weights=2, noise=shaken(3))).look(START_SECONDS)
    assert patient.reasons == ["BaselineChanged"]
    assert patient.verdicts[-1].is_well
    assert not patient.findings[0].moves
    patient.look(LATER)
    assert patient.reasons == ["BaselineChanged"]
    patient.restart().look(LATER)
    assert patient.reasons == [], "it is the baseline now"
    patient.restart(Model(weights=3)).look(START_SECONDS)
    assert patient.reasons == ["Drifted"]


def test_drift_that_a_restart_cures_is_forgotten() -> None:
    patient = Patient().look(START_SECONDS)
    patient.model = replace(patient.model, distort=other_path)
    patient.look(70)
    assert patient.window.baseline.drift
    patient.restart(Model()).look(START_SECONDS)
    assert patient.reasons == []
    assert not patient.window.baseline.drift


def test_marks_after_a_restart_too_are_no_changed_model() -> None:
    patient = Patient().look(START_SECONDS)
    for _ in range(3):
        patient.restart(Model(distort=marks)).look(START_SECONDS)
        assert patient.reasons == ["Repetition"]


def test_another_version_is_measured_anew() -> None:
    patient = Patient().look(START_SECONDS)
    patient.version = "2"
    patient.restart(Model(weights=2)).look(LATER)
    assert patient.ever() == set()


def known(answer: str) -> WatchdogPolicy:
    question = KnownAnswer(prompt="What is the capital of France?", answer=answer)
    return WatchdogPolicy(detectors=DetectorsPolicy(degraded_output=DegradedOutputPolicy(known_answers=[question])))


def test_a_known_answer_that_it_knew_is_a_fault_when_it_is_gone() -> None:
    def paris(said: Said, prompt: CheckPrompt, _arm: Arm) -> Said:
        return replace(said, words="It is PARIS.") if prompt.name.startswith("known") else said

    patient = Patient(Model(distort=paris), policy=known("Paris")).look(START_SECONDS)
    assert patient.reasons == []
    patient.model = Model()
    assert patient.look(70).reasons == ["WrongAnswer"]
    assert patient.verdicts[-1].state is VerdictState.FAULTY


def test_a_known_answer_that_it_never_knew_restarts_nothing() -> None:
    patient = Patient(policy=known("Paris")).look(START_SECONDS)
    assert patient.reasons == ["WrongAnswer"]
    assert patient.verdicts[-1].state is VerdictState.SUSPECT
