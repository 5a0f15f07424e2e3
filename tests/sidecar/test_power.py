"""Sleep and wake as the worker wishes: what is ordered when, and when it may serve again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm_watchdog.api.document import decode, encode
from llm_watchdog.api.reasons import Mode, RotationReason, StepOutcome, UnknownReason
from llm_watchdog.core.case import EngineMark
from llm_watchdog.core.power import SETTLED_AFTER, PowerStage
from llm_watchdog.core.replica import Replica
from llm_watchdog.core.situation import Modes, OrderAnswer, OrderState, PowerWish, Traffic
from tests.sidecar.situations import NEW, OLD, World, serving

ASLEEP, AWAKE = PowerWish(asleep=True, level=2), PowerWish()
DONE = OrderAnswer(state=OrderState.HONOURED, message="done")
REFUSED = OrderAnswer(state=OrderState.REFUSED, message="POST /sleep: HTTP 500")
GONE = OrderAnswer(state=OrderState.ABSENT)


def sleepy(**facts: object) -> World:
    """In rotation, of a kind that can be put to sleep and tells whether it sleeps."""
    return serving(can_sleep=True, says_asleep=False, **facts)


def dozing(world: World) -> World:
    """It shall sleep, and nobody is sent to it any more."""
    return world.settle(power=ASLEEP).look(SETTLED_AFTER.total_seconds()).settle()


def fallen(world: World, *, says: bool | None = True) -> World:
    """The sleep was ordered and answered for."""
    dozing(world).settle(power_order=DONE, says_asleep=says)
    return world.unknown(UnknownReason.ASLEEP)


def reason(world: World) -> RotationReason:
    assert world.last is not None
    return world.last.rotation.reason


def stage(world: World) -> PowerStage:
    return world.replica.power.stage


def test_first_out_of_rotation_then_drained_then_asleep() -> None:
    world = sleepy(traffic=Traffic(in_flight=3, moving=True)).look(power=ASLEEP)
    assert (world.in_rotation, reason(world)) == (False, RotationReason.DRAINING)
    assert not world.settle().powers, "users are still being served"
    world.settle(traffic=Traffic(in_flight=0, moving=False))
    assert not world.powers, "a request may be on its way, from a proxy that does not know yet"
    world.look(SETTLED_AFTER.total_seconds()).settle()
    assert [(o.asleep, o.level) for o in world.powers] == [(True, 2)]
    assert (stage(world), reason(world)) == (PowerStage.FALLING_ASLEEP, RotationReason.ASLEEP)
    world.settle(power_order=DONE, says_asleep=True)
    assert (stage(world), world.in_rotation) == (PowerStage.ASLEEP, False)
    assert len(world.look(600).powers) == 1


def test_not_before_the_gate_is_seen_shut() -> None:
    world = sleepy()
    gate = world.facts["gate"]
    world.look(power=ASLEEP, gate=gate)
    world.facts["gate"] = gate
    world.look(0.1)
    world.facts["gate"] = gate
    assert not world.look(0.1).powers


def test_a_drain_that_never_ends_does_not_keep_it_awake_for_ever() -> None:
    world = sleepy(traffic=Traffic(in_flight=1, moving=True)).settle(power=ASLEEP)
    assert not world.look(29).powers
    assert [order.asleep for order in world.look(2).powers] == [True]


@pytest.mark.parametrize("mode", list(Mode))
def test_it_serves_again_only_when_it_has_proved_itself_whatever_the_mode(mode: Mode) -> None:
    world = fallen(sleepy(modes=Modes(mode=mode)))
    world.settle(power=AWAKE)
    assert [(o.asleep, o.level, o.released) for o in world.powers[1:]] == [(False, 2, True)]
    assert reason(world) is RotationReason.WAKE_GATE
    world.settle(power_order=DONE, says_asleep=False)
    assert (stage(world), reason(world)) == (PowerStage.PROVING, RotationReason.WAKE_GATE)
    world.facts["unchecked"] = "start-up checks to be made: CachePair"
    assert not world.healthy().in_rotation, "a canary is not enough"
    world.facts["unchecked"] = ""
    assert world.healthy().in_rotation
    assert stage(world) is PowerStage.AWAKE


def test_the_wake_itself_empties_the_cache_so_no_flush_follows() -> None:
    world = fallen(sleepy(can_flush=True)).settle(power=AWAKE).look(power_order=DONE, says_asleep=False)
    assert not world.unknown(UnknownReason.STARTING).healthy().flushes
    precaution = world.replica.precaution
    assert precaution is not None
    assert precaution.outcome is StepOutcome.SUCCEEDED


def test_a_wish_that_is_taken_back_in_time_orders_nothing() -> None:
    world = sleepy(traffic=Traffic(in_flight=3, moving=True)).settle(power=ASLEEP).settle(power=AWAKE)
    assert world.in_rotation
    assert not world.powers


def test_a_wish_that_is_taken_back_too_late_wakes_it() -> None:
    world = dozing(sleepy()).settle(power=AWAKE)
    assert [order.asleep for order in world.powers] == [True], "the sleep is not known to be over"
    assert [order.asleep for order in world.settle(power_order=DONE).powers] == [True, False]


def test_an_engine_that_was_not_proved_is_not_put_to_sleep() -> None:
    world = World(facts={"can_sleep": True, "says_asleep": False, "power": ASLEEP}).settle()
    assert not world.look(60).powers
    assert [order.asleep for order in world.healthy().powers] == [True]


def test_an_incident_comes_first() -> None:
    world = sleepy().sick()
    world.settle(power=ASLEEP)
    assert not world.look(60).powers
    assert not world.in_rotation


def test_a_sleep_that_is_refused_is_tried_again_later_and_the_replica_stays_out() -> None:
    world = dozing(sleepy()).settle(power_order=REFUSED)
    assert (len(world.look(50).powers), world.in_rotation) == (1, False)
    assert world.replica.power.message == REFUSED.message
    assert len(world.look(11).powers) == 2


def test_a_200_that_was_not_the_truth_is_found_out() -> None:
    world = dozing(sleepy()).settle(power_order=DONE, says_asleep=False)
    assert stage(world.look(9)) is PowerStage.ASLEEP
    assert stage(world.look(2)) is PowerStage.LEAVING
    assert len(world.look(61).powers) == 2


def test_an_engine_that_does_not_tell_is_as_it_was_told_to_be() -> None:
    world = serving(can_sleep=True)
    dozing(world).settle(power_order=DONE)
    assert stage(world.look(3600)) is PowerStage.ASLEEP


def test_somebody_elses_wake_is_undone_after_a_while() -> None:
    world = fallen(sleepy()).look(60)
    world.healthy()
    world.settle(says_asleep=False)
    assert (stage(world), world.in_rotation) == (PowerStage.LEAVING, False)
    assert len(world.powers) == 1
    world.look(61)
    assert len(world.healthy().powers) == 2


def test_one_that_slept_already_is_not_told_again() -> None:
    world = sleepy().unknown(UnknownReason.ASLEEP)
    world.settle(says_asleep=True, power=ASLEEP)
    assert (stage(world), world.powers) == (PowerStage.ASLEEP, [])
    woken = world.settle(power=AWAKE)
    assert [order.released for order in woken.powers] == [False], "by whom and how it was put to sleep is not known"


def test_a_wake_that_fails_stays_out_and_is_tried_again() -> None:
    world = fallen(sleepy()).settle(power=AWAKE).settle(power_order=REFUSED)
    assert (stage(world), world.in_rotation) == (PowerStage.WAKING, False)
    assert [order.asleep for order in world.look(61).powers] == [True, False, False]


def test_a_new_process_is_awake() -> None:
    world = fallen(sleepy()).settle(engine=NEW, says_asleep=False)
    assert stage(world) is PowerStage.LEAVING
    assert len(world.look(5).powers) == 1, "it has not answered yet"
    assert [order.asleep for order in world.healthy().powers] == [True, True]


def test_a_crash_in_the_middle_of_a_sleep_gives_no_second_order() -> None:
    world = dozing(sleepy()).settle(power_order=GONE)
    assert (stage(world), len(world.powers)) == (PowerStage.ASLEEP, 1)
    assert not world.replica.power.sure


def test_a_sleep_that_was_never_answered_is_not_ordered_again() -> None:
    """To release SGLang's memory twice, or to serve from memory that is gone, would kill it."""
    world = dozing(serving(can_sleep=True)).settle(power_order=OrderAnswer(state=OrderState.TIMED_OUT))
    assert (stage(world.look(3600)), len(world.powers)) == (PowerStage.ASLEEP, 1)
    assert [order.released for order in world.settle(power=AWAKE).powers[1:]] == [False]


@pytest.mark.parametrize("became", [OrderState.ABSENT, OrderState.REFUSED, OrderState.TIMED_OUT])
def test_a_resume_that_may_have_been_made_is_not_made_again(became: OrderState) -> None:
    world = fallen(serving(can_sleep=True), says=None).settle(power=AWAKE)
    assert [order.released for order in world.powers[1:]] == [True]
    world.settle(power_order=OrderAnswer(state=became)).look(61)
    assert [order.released for order in world.powers[1:]] == [True, False]


@pytest.mark.parametrize("said", [AWAKE, replace(AWAKE, ours=True)])
def test_whose_sleep_it_is(said: PowerWish) -> None:
    """Until it is proved after a sleep of ours it is ours, whatever the worker says by then."""
    world = serving(can_sleep=True).settle(power=said)
    assert world.replica.power.ours is said.ours
    world = fallen(world, says=None).settle(power=said)
    assert world.settle(power_order=DONE).replica.power.ours
    world.facts["power_order"] = None
    assert stage(world.healthy()) is PowerStage.AWAKE
    assert world.replica.power.ours is said.ours


def test_what_the_worker_said_last_outlives_the_process() -> None:
    world = fallen(sleepy())
    again = decode(Replica, encode(world.replica))
    assert again.power == world.replica.power
    later = World(replica=again, at=world.at, facts={"can_sleep": True, "says_asleep": True, "power": None})
    assert not later.unknown(UnknownReason.ASLEEP).in_rotation
    assert not later.powers


def test_an_engine_without_these_calls_serves_on() -> None:
    assert serving(can_sleep=False).settle(power=ASLEEP).in_rotation


def test_the_restart_of_a_watchdog_beside_a_sleeping_engine_changes_nothing() -> None:
    world = fallen(sleepy())
    again = World(replica=world.replica, at=world.at, facts={"can_sleep": True, "engine": EngineMark()})
    assert not again.look(3600).powers
    assert stage(again.look(1, engine=replace(OLD, container_id=None))) is PowerStage.ASLEEP
