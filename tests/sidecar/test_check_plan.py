"""When which check is made, and that none of them ever holds rotation that cannot be made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_watchdog.api.policy import EngineTask, ProbeCost, WatchdogPolicy
from llm_watchdog.api.reasons import VerdictState
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.api.thresholds import ChecksPolicy, Switch
from llm_watchdog.core import check_plan
from llm_watchdog.core.alone import Company, company, joined
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Content, Flaw
from llm_watchdog.core.check_plan import GATE_SECONDS, ORDER, RETRY_SECONDS, impossible
from llm_watchdog.core.check_prompts import FINGERPRINT
from llm_watchdog.core.check_rounds import Arm, CheckAnswer, CheckKind, CheckObservation
from llm_watchdog.core.intake import observe
from llm_watchdog.core.observations import (
    AnswerKind,
    MetricsObservation,
    MetricsReading,
    SocketSample,
    SocketsObservation,
    StatusObservation,
    StatusReading,
)
from llm_watchdog.core.verdict import judge
from llm_watchdog.core.window import Window
from tests.sidecar.checked_model import TARGET, Model, Patient, shaken

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET = ChecksPolicy().alone_for


def started(**facts: object) -> Patient:
    return Patient(**facts).look(30.0)  # type: ignore[arg-type]


def user(patient: Patient, acked: int = 100) -> None:
    """Somebody's request is being served."""
    sample = SocketSample(peer="10.0.0.9:1:1", own=False, open=True, received=900, acked=acked)
    seen = SocketsObservation(at=patient.now, readable=True, listeners=frozenset({7}), samples=(sample,))
    patient.window = observe(patient.window, seen)


def test_all_checks_are_made_before_rotation_and_the_baseline_is_measured() -> None:
    patient = started()
    assert patient.in_rotation
    counts = {kind: patient.made.count(kind) for kind in CheckKind}
    assert counts == {
        CheckKind.CACHE_PAIR: 2,
        CheckKind.FINGERPRINT: 5,
        CheckKind.CROSS_TALK: 2,
        CheckKind.STALE: 1,
        CheckKind.SLOTS: 1,
    }
    assert patient.window.baseline.echoes


def test_what_a_round_costs_is_bounded() -> None:
    patient = started()
    assert patient.tokens < 800, "the first start, with the baseline"
    before = patient.tokens
    patient.look(61)
    assert patient.tokens - before < 130, "a round"


def test_while_alone_each_check_is_made_once_a_minute_and_nothing_is_dropped_in_rotation() -> None:
    patient = started()
    patient.made.clear()
    patient.look(605)
    counts = [patient.made.count(kind) for kind in ORDER]
    assert counts == [10, 10, 10, 0, 0]


@pytest.mark.parametrize("renew", [Patient.restart, Patient.sleep_and_wake])
def test_after_a_restart_or_a_wake_all_are_made_again_the_cache_first(renew: object) -> None:
    patient = started()
    patient.made.clear()
    renew(patient)  # type: ignore[operator]
    patient.look(10)
    assert patient.made == list(ORDER)


def test_after_a_flush_all_that_is_safe_in_rotation_is_made_again() -> None:
    patient = started()
    patient.made.clear()
    patient.window = patient.window.rechecked(patient.now)
    patient.look(10)
    assert patient.made == list(ORDER[:3])


def test_a_proof_after_a_flush_waits_for_the_checks_however_long_the_engine_has_been_up() -> None:
    patient = started()
    patient.look(1000)
    assert not check_plan.unchecked(patient.window, patient.setting(), patient.now)
    patient.window = patient.window.rechecked(patient.now)
    assert "CachePair" in check_plan.unchecked(patient.window, patient.setting(), patient.now)


def test_only_at_start_where_the_interval_is_zero() -> None:
    patient = started(policy=WatchdogPolicy(checks=ChecksPolicy(interval=Seconds(0))))
    patient.made.clear()
    patient.look(600)
    assert patient.made == []


@pytest.mark.parametrize(
    ("facts", "left"),
    [
        ({"task": EngineTask.EMBED}, set()),
        ({"probe_cost": ProbeCost.METERED}, set()),
        ({"concurrency": None}, set(ORDER) - {CheckKind.SLOTS}),
    ],
)
def test_what_the_target_rules_out_is_not_made(facts: dict[str, object], left: set[CheckKind]) -> None:
    setting = check_plan.Setting(target=replace(TARGET, **facts), slots=facts.get("concurrency", 4), in_rotation=False)  # type: ignore[arg-type]
    assert {kind for kind in ORDER if not impossible(kind, setting)} == left


def test_what_could_rob_users_is_made_out_of_rotation_only_unless_the_user_wants_it() -> None:
    setting = check_plan.Setting(target=TARGET, pair_is_safe=False, in_rotation=True)
    assert "out of rotation" in impossible(CheckKind.CROSS_TALK, setting)
    assert impossible(CheckKind.CROSS_TALK, replace(setting, in_rotation=False)) == ""
    wanted = replace(setting, policy=ChecksPolicy(cross_talk=Switch.ON))
    assert impossible(CheckKind.CROSS_TALK, wanted) == ""
    assert impossible(CheckKind.CROSS_TALK, replace(setting, policy=ChecksPolicy(cross_talk=Switch.OFF)))


def test_what_needs_quiet_is_never_made_beside_users() -> None:
    patient = started()
    patient.look(55)
    user(patient)
    assert check_plan.due(patient.window, patient.setting(), patient.now + 10) is None


def test_a_replica_that_is_never_alone_is_glanced_at() -> None:
    patient = started(users=lambda now: now > 40)
    patient.made.clear()
    before = patient.tokens
    patient.look(3600)
    assert set(patient.made) == {CheckKind.FINGERPRINT, CheckKind.CROSS_TALK}
    assert patient.made.count(CheckKind.FINGERPRINT) <= 12
    assert (patient.tokens - before) / 3600 < 1, "a token a second"
    assert patient.ever() == set()


def test_what_could_rob_users_is_not_made_beside_them() -> None:
    patient = started(users=lambda now: now > 40, pair_is_safe=False)
    patient.made.clear()
    patient.look(3600)
    assert set(patient.made) == {CheckKind.FINGERPRINT}, "its streams are single, as those of canaries are"


def test_a_round_that_harms_nobody_goes_on_when_somebody_comes_and_none_that_is_learned_from() -> None:
    new, known = Patient(), started()
    for kind in CheckKind:
        safe = kind in (CheckKind.FINGERPRINT, CheckKind.CROSS_TALK)
        assert check_plan.may_be_beside(kind, known.window, known.setting()) == safe
        assert not check_plan.may_be_beside(kind, new.window, new.setting()) or not safe
        unsafe = replace(known.setting(), pair_is_safe=False)
        assert check_plan.may_be_beside(kind, known.window, unsafe) == (kind is CheckKind.FINGERPRINT)


def test_a_disturbed_round_does_not_put_off_the_glance() -> None:
    patient = started(users=lambda now: now > 40)
    patient.look(20)
    patient.made.clear()
    for _ in range(40):
        void = CheckObservation(at=patient.now, started_at=patient.now, kind=CheckKind.FINGERPRINT, disturbed=True)
        patient.window = observe(patient.window, void)
        patient.look(10)
    assert CheckKind.FINGERPRINT in patient.made


def test_after_a_wake_a_user_who_is_served_opens_the_gate_to_nobody() -> None:
    """One that waited in the sleeping engine, or was never sent by the Service: the fingerprint is taken beside it."""
    patient = started()
    patient.window = patient.window.ordered(asleep=True, at=patient.now)
    patient.now += 10
    patient.window = patient.window.ordered(asleep=False, at=patient.now)
    user(patient)
    window = replace(patient.window, answered=True, answered_at=patient.now)
    assert "Fingerprint" in check_plan.unchecked(window, patient.setting(), patient.now)
    asked = CanaryObservation(id="1", shape="short", started_at=patient.now, outcome=CanaryOutcome.SUCCEEDED)
    assert check_plan.due(replace(window, canaries=(asked,)), patient.setting(), patient.now) is CheckKind.FINGERPRINT
    assert not check_plan.unchecked(window, patient.setting(), patient.now + GATE_SECONDS + 1)


def test_nothing_is_learned_beside_users() -> None:
    patient = Patient(users=lambda _now: True).look(3600)
    assert patient.made == []
    assert patient.window.baseline.prompts == []


@pytest.mark.parametrize(("flaw", "asked"), [(Flaw.BROKEN_NUMBERS, True), (Flaw.BODY_CUT, False)])
def test_canaries_with_broken_numbers_call_for_checks_and_other_flaws_do_not(flaw: Flaw, *, asked: bool) -> None:
    """TGI tells log probabilities unasked, so that all its canaries have them."""
    patient = started()
    later = patient.now + 61
    broken = CanaryObservation(
        id="x",
        shape="s",
        started_at=later - 1,
        finished_at=later,
        outcome=CanaryOutcome.INCOMPLETE,
        flaw=flaw,
        tokens=4,
    )
    assert (check_plan.due(observe(patient.window, broken), patient.setting(), later) is not None) == asked


def test_an_unloaded_or_silent_engine_is_left_alone() -> None:
    patient = started()
    later = patient.now + 61
    assert check_plan.due(patient.window, patient.setting(), later) is not None
    unloaded = StatusObservation(
        at=patient.now, name="ps", kind=AnswerKind.ANSWERED, reading=StatusReading(unloaded=True)
    )
    assert check_plan.due(observe(patient.window, unloaded), patient.setting(), later) is None
    silent = CanaryObservation(id="x", shape="s", started_at=patient.now)
    assert check_plan.due(observe(patient.window, silent), patient.setting(), later) is None


def test_a_disturbed_round_is_tried_again_a_little_later() -> None:
    patient = started()
    at = patient.now
    check = CheckObservation(at=at, started_at=at, kind=CheckKind.CACHE_PAIR, disturbed=True)
    patient.window = observe(patient.window, check)
    assert check_plan.due(patient.window, patient.setting(), at + RETRY_SECONDS - 0.1) is None
    assert check_plan.due(patient.window, patient.setting(), at + RETRY_SECONDS) is CheckKind.CACHE_PAIR


def test_what_cannot_be_made_holds_nothing() -> None:
    assert started(hit_tokens=None).in_rotation
    assert started(cold=False).in_rotation
    window = replace(Patient().look(1.0).window, checks=())
    setting = Patient().setting()
    assert check_plan.unchecked(window, setting, 1.0)
    assert check_plan.unchecked(window, setting, GATE_SECONDS + 2) == ""
    served = Patient(window=window, now=1.0)
    user(served)
    assert check_plan.unchecked(served.window, setting, 1.0) == ""
    blind = observe(window, SocketsObservation(at=1.0, readable=False))
    assert check_plan.unchecked(blind, setting, 1.0) == ""
    assert check_plan.unchecked(replace(window, answered_at=None), setting, 1.0) == ""


def test_company_is_told_from_sockets_and_gauges() -> None:
    patient = started()
    assert company(patient.window, QUIET, patient.now) is Company.ALONE
    assert company(Window(), QUIET, 0.0) is Company.UNKNOWN
    page = MetricsObservation(at=patient.now, kind=AnswerKind.ANSWERED, reading=MetricsReading(running=1.0))
    assert company(observe(patient.window, page), QUIET, patient.now) is Company.SERVED
    ours = replace(page, own_canaries=1)
    assert company(observe(patient.window, ours), QUIET, patient.now) is Company.ALONE
    began = patient.now
    patient.now += 1
    assert not joined(patient.window, began)
    user(patient)
    assert joined(patient.window, began)
    assert company(patient.window, QUIET, patient.now) is Company.SERVED


def test_status_says_what_becomes_of_each_check() -> None:
    patient = started(pair_is_safe=False, hit_tokens=None)
    said = check_plan.describe(patient.window, patient.setting(), patient.now)
    assert set(said) == {kind.value for kind in CheckKind}
    assert "could not be made" in said["CachePair"]
    assert "out of rotation only" in said["CrossTalk"]
    assert "nothing found" in said["Fingerprint"]


ANSWERS = st.builds(
    CheckAnswer,
    prompt=st.sampled_from([*(prompt.name for prompt in FINGERPRINT), "cached", "one", "other", "known: q"]),
    arm=st.sampled_from(Arm),
    nonce=st.sampled_from(["", "aaaaaa bbbbbb", "cccccc"]),
    expected=st.sampled_from(["", "x"]),
    hit_tokens=st.sampled_from([None, 0.0, 16.0, 192.0]),
    canary=st.builds(
        CanaryObservation,
        id=st.just("k"),
        shape=st.just("s"),
        started_at=st.floats(0, 1e4),
        outcome=st.sampled_from(CanaryOutcome),
        tokens=st.integers(0, 30),
        max_tokens=st.integers(0, 30),
        finish=st.sampled_from([None, "stop", "length", "abort"]),
        flaw=st.sampled_from([None, *Flaw]),
        content=st.builds(
            Content,
            text=st.text(max_size=30),
            token_ids=st.lists(st.integers(0, 3), max_size=12).map(tuple),
            logprobs=st.lists(st.none() | st.floats(-20, 0), max_size=12).map(tuple),
        ),
    ),
)
ROUNDS = st.builds(
    CheckObservation,
    at=st.floats(0, 1e4),
    started_at=st.floats(0, 1e4),
    kind=st.sampled_from(CheckKind),
    answers=st.lists(ANSWERS, max_size=6).map(tuple),
    disturbed=st.booleans(),
    not_applicable=st.sampled_from(["", "cannot"]),
    key=st.sampled_from(["", "a", "b"]),
    raw=st.booleans(),
)


@given(rounds=st.lists(ROUNDS, max_size=20))
def test_no_rounds_however_odd_make_it_raise_or_hold_for_ever(rounds: list[CheckObservation]) -> None:
    patient = Patient().look(1.0)
    for check in rounds:
        patient.window = observe(patient.window, check)
        judge(patient.window, patient.target, patient.policy, patient.now)
        assert check_plan.unchecked(patient.window, patient.setting(), GATE_SECONDS + 2) == ""


@given(rounds=st.lists(ROUNDS.map(lambda check: replace(check, disturbed=True)), max_size=20))
def test_disturbed_rounds_are_evidence_of_nothing(rounds: list[CheckObservation]) -> None:
    patient = started()
    for check in rounds:
        patient.window = observe(patient.window, check)
    assert judge(patient.window, patient.target, patient.policy, patient.now).state is VerdictState.HEALTHY


STEPS = st.lists(st.sampled_from(["look", "restart", "wake", "flush", "user", "disturb"]), max_size=12)


@given(steps=STEPS, seed=st.integers(0, 99))
@settings(max_examples=30)
def test_a_healthy_model_is_never_suspected_whatever_happens_around_it(steps: list[str], seed: int) -> None:
    patient = Patient(Model(ties=0.03, noise=shaken(seed)))
    happen: dict[str, Callable[[], object]] = {
        "look": lambda: patient.look(70),
        "restart": patient.restart,
        "wake": patient.sleep_and_wake,
        "flush": lambda: setattr(patient, "window", patient.window.rechecked(patient.now)),
        "user": lambda: user(patient),
        "disturb": lambda: setattr(
            patient,
            "window",
            observe(
                patient.window,
                CheckObservation(at=patient.now, started_at=patient.now, kind=CheckKind.FINGERPRINT, disturbed=True),
            ),
        ),
    }
    for step in steps:
        happen[step]()
        patient.look(5)
    assert patient.ever() == set()
