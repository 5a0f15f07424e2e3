"""When the readiness gate says what."""

from __future__ import annotations

from dataclasses import replace

from llm_watchdog.api.policy import EngineTask
from llm_watchdog.api.reasons import FaultClass, Mode, RotationReason, UnknownReason, VerdictState
from llm_watchdog.core.baseline import Baseline
from llm_watchdog.core.case import EngineMark, Stage
from llm_watchdog.core.situation import Gate, Modes, OrderAnswer, OrderState
from tests.sidecar.situations import NEW, OLD, START, World, ordered, serving


def reason(world: World) -> RotationReason:
    assert world.last is not None
    return world.last.rotation.reason


def test_a_new_engine_waits_for_its_first_canary() -> None:
    world = World().settle()
    assert (world.in_rotation, reason(world)) == (False, RotationReason.STARTING)
    assert world.healthy().in_rotation


def test_an_engine_that_restarts_by_itself_starts_over() -> None:
    world = serving()
    world.look(1.0, engine=EngineMark(container_id=OLD.container_id, listener=0))
    assert (world.in_rotation, reason(world)) == (False, RotationReason.STARTING)
    world.look(1.0, engine=EngineMark(container_id=OLD.container_id, listener=NEW.listener))
    assert not world.in_rotation, "the canary that passed was answered by the old engine"
    assert world.healthy().in_rotation
    world.look(1.0, engine=NEW)
    assert world.in_rotation, "the container id follows later and changes nothing"


def test_a_canary_that_is_answered_before_the_new_socket_is_seen_counts() -> None:
    """Sockets are looked at once a second; a replica once left rotation again 0.4 s after it was proven."""
    world = serving().look(1.0, engine=EngineMark(listener=0))
    assert world.healthy().in_rotation
    assert world.look(1.0, engine=NEW).in_rotation


def test_a_watchdog_that_merely_restarted_changes_nothing() -> None:
    world = serving()
    again = World(replica=world.replica, at=world.at, facts={"engine": EngineMark()})
    assert again.settle().in_rotation
    assert again.look(1.0, engine=EngineMark(listener=OLD.listener)).in_rotation
    assert again.look(1.0, engine=OLD).in_rotation


def test_a_watchdog_that_restarted_beside_a_new_engine_waits() -> None:
    world = serving()
    again = World(replica=world.replica, at=world.at, facts={"engine": EngineMark(listener=NEW.listener)})
    assert not again.settle().in_rotation


def test_a_lost_journal_means_a_new_start() -> None:
    assert not World(facts={"gate": Gate(in_rotation=True, since=START)}).settle().in_rotation


def test_stopping_comes_before_everything() -> None:
    world = serving(modes=Modes(mode=Mode.OBSERVE)).settle(draining=True)
    assert (world.in_rotation, reason(world)) == (False, RotationReason.DRAINING)


def test_doubt_moves_nothing() -> None:
    for why in (UnknownReason.PROBE_FAILED, UnknownReason.CANARY_REJECTED):
        assert serving().unknown(why).in_rotation


def test_asleep_is_out_and_no_incident() -> None:
    world = serving().unknown(UnknownReason.ASLEEP)
    assert (world.in_rotation, reason(world)) == (False, RotationReason.ASLEEP)
    assert world.replica.cases == []


def test_an_engine_without_its_model_must_be_reached_by_the_user_who_has_it_loaded() -> None:
    assert World().settle().unknown(UnknownReason.UNLOADED).in_rotation
    assert serving().unknown(UnknownReason.UNLOADED).in_rotation


def test_after_a_wake_a_canary_has_to_pass_first() -> None:
    world = serving().unknown(UnknownReason.ASLEEP)
    assert not world.unknown(UnknownReason.PROBE_FAILED).in_rotation
    assert reason(world) is RotationReason.WAKE_GATE
    assert world.healthy().in_rotation


def test_an_engine_that_may_not_be_asked_is_in_as_soon_as_it_answers() -> None:
    world = World(facts={"task": EngineTask.NONE}).settle()
    assert not world.in_rotation
    assert world.unknown(UnknownReason.NO_CANARY).in_rotation


def test_observe_is_always_in() -> None:
    world = World(facts={"modes": Modes(mode=Mode.OBSERVE)}).settle()
    assert world.in_rotation
    assert world.sick(state=VerdictState.SUSPECT).in_rotation


def test_a_silent_suspicion_moves_rotation_and_leaves_no_record() -> None:
    world = serving().sick(state=VerdictState.SUSPECT, incident=False)
    assert (world.in_rotation, reason(world)) == (False, RotationReason.FAULTY)
    assert world.replica.cases == []
    assert world.replica.doubted is FaultClass.STALLED_STREAM
    assert world.healthy().in_rotation
    assert world.replica.doubted is None


def test_a_suspicion_is_over_with_a_sign_of_health_and_not_with_silence_about_it() -> None:
    world = serving().sick(state=VerdictState.SUSPECT, incident=False)
    assert not world.unknown(UnknownReason.PROBE_FAILED).in_rotation
    assert world.unknown(UnknownReason.TOKENS_SPENT).in_rotation, "no proof is to come: nobody is held out for ever"


def test_a_suspicion_about_a_replica_that_generates_moves_nothing() -> None:
    world = serving().sick(state=VerdictState.SUSPECT, incident=False, silent=False)
    assert world.in_rotation
    assert world.replica.cases == []


def test_a_suspicion_survives_a_restart_of_the_watchdog() -> None:
    world = serving().sick(state=VerdictState.SUSPECT, incident=False)
    again = World(replica=world.replica, at=world.at, facts={"engine": OLD})
    assert not again.settle().in_rotation
    assert again.healthy().in_rotation


def test_a_class_that_is_observed_moves_nothing_on_suspicion() -> None:
    modes = Modes(overrides={FaultClass.STALLED_STREAM: Mode.OBSERVE})
    assert serving(modes=modes).sick(state=VerdictState.SUSPECT, incident=False).in_rotation


def test_a_suspicion_that_becomes_certain_opens_an_incident() -> None:
    world = serving().sick(state=VerdictState.SUSPECT, incident=False)
    assert world.sick(state=VerdictState.SUSPECT).case.fault is FaultClass.STALLED_STREAM
    assert not world.in_rotation
    assert world.healthy().in_rotation


def test_an_engine_that_started_over_in_the_same_process_waits_for_its_first_canary() -> None:
    """It loads, pauses or drains: 503 of everything, and neither its socket nor its container has changed."""
    world = serving()
    world.at += 10
    world.verdict = replace(world.verdict, started_over_at=world.at)
    world.unknown(UnknownReason.STARTING)
    assert (world.in_rotation, reason(world)) == (False, RotationReason.STARTING)
    world.look(60.0).settle()
    assert not world.in_rotation
    assert world.healthy().in_rotation


def test_an_alert_does_not_keep_a_replica_out() -> None:
    """Someone's long request is told of, and the canary passes."""
    world = serving().sick(state=VerdictState.SUSPECT, incident=False)
    world.at += 1
    alert = replace(world.verdict.findings[0], silent=False)
    world.verdict = replace(world.verdict, findings=(alert,), last_healthy_at=world.at, last_canary_passed_at=world.at)
    assert world.settle().in_rotation


def test_a_canary_is_not_enough_while_start_up_checks_are_to_be_made() -> None:
    world = World(facts={"unchecked": "start-up checks to be made: Fingerprint"}).settle().healthy()
    assert (world.in_rotation, reason(world)) == (False, RotationReason.STARTING)
    assert world.last is not None
    assert "Fingerprint" in world.last.rotation.message
    assert world.settle(unchecked="").in_rotation
    assert world.settle(unchecked="start-up checks to be made: CachePair").in_rotation, "later rounds move nothing"


def test_after_a_wake_the_checks_come_before_users() -> None:
    world = serving().unknown(UnknownReason.ASLEEP)
    world.facts["unchecked"] = "start-up checks to be made: CachePair"
    assert not world.healthy().in_rotation
    assert reason(world) is RotationReason.WAKE_GATE
    assert world.settle(unchecked="").in_rotation


def test_a_restart_is_proved_by_the_checks_too() -> None:
    world = ordered(unchecked="")
    world.facts["unchecked"] = "start-up checks to be made: Fingerprint"
    world.settle(engine=NEW, order=OrderAnswer(state=OrderState.HONOURED)).healthy()
    assert world.case.stage is not Stage.CLOSED
    world.settle(unchecked="")
    assert world.case.stage is Stage.CLOSED


def test_the_baseline_is_journalled() -> None:
    world = serving().settle(baseline=Baseline(key="vllm|1|tiny|completions"))
    assert world.replica.baseline.key == "vllm|1|tiny|completions"
