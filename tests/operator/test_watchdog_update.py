"""A new watchdog image, one pod at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmworker_operator.domain.replica import ANNOTATION_WATCHDOG_UPDATE, Replica, Sidecar
from llmworker_operator.domain.watchdog_update import UpdateDecision, decide_update
from llmworker_operator.reconcile.pods import image_patch
from tests.operator.making import replica

NEW = "watchdog:2"


def patched(name: str, *, running: bool = True, restarted: bool = True, ready: bool = True, why: str = "") -> Replica:
    container_id = f"new-{name}" if restarted else f"old-{name}"
    sidecar = Sidecar(image=NEW, container_id=container_id, running=running, waiting_reason=why)
    return replace(replica(name), ready=ready, update_from=f"old-{name}", sidecar=sidecar)


def decide(*mine: Replica, elsewhere: tuple[Replica, ...] = (), image: str = NEW) -> UpdateDecision:
    return decide_update(mine, (*mine, *elsewhere), image)


def test_nothing_to_do() -> None:
    assert decide(replica("a"), image="watchdog:1") == UpdateDecision()


def test_the_first_by_name() -> None:
    decision = decide(replica("b"), replica("a"))
    assert decision.patch
    assert decision.patch.name == "a"
    assert decision.under_way


def test_the_next_only_when_it_runs_and_is_ready() -> None:
    for unfinished in (
        patched("a", restarted=False),
        patched("a", running=False),
        patched("a", ready=False),
    ):
        assert decide(unfinished, replica("b")).patch is None
    finished = decide(patched("a"), replica("b"))
    assert finished.patch
    assert finished.patch.name == "b"


def test_one_at_a_time_over_all_workers() -> None:
    assert decide(replica("b"), elsewhere=(patched("x", ready=False),)).patch is None


def test_done() -> None:
    decision = decide(patched("a"), patched("b"))
    assert (decision.patch, decision.under_way) == (None, False)
    assert [r.name for r in decision.finished] == ["a", "b"], "the marks of this exchange stay for the next one"


def test_a_second_upgrade_goes_one_at_a_time_too() -> None:
    """The mark of the first exchange once vouched for the second, and a bad image reached every pod."""
    first, second = patched("a"), patched("b")
    third = decide(first, second, image="watchdog:3").patch
    assert third is first
    mark = image_patch(first, "watchdog:3")["metadata"]["annotations"][ANNOTATION_WATCHDOG_UPDATE]
    assert first.sidecar is not None
    exchanged = replace(first, update_from=mark, sidecar=replace(first.sidecar, image="watchdog:3"))
    assert decide(exchanged, second, image="watchdog:3").patch is None


@pytest.mark.parametrize("reason", ["Asleep", "Quarantined"])
def test_a_replica_out_of_rotation_for_its_own_reasons_is_exchanged_and_holds_nobody_up(reason: str) -> None:
    waiting = replica("a", ready=False, rotation=reason)
    assert decide(waiting).patch is waiting
    assert decide(replace(patched("a", ready=False), rotation=reason), replica("b")).patch is not None


def test_a_failure_stops_it_and_is_said() -> None:
    decision = decide(patched("a", running=False, ready=False, why="ErrImagePull"), replica("b"))
    assert decision.patch is None
    assert "pod a" in decision.problem
    assert "ErrImagePull" in decision.problem


def test_the_failed_one_gets_the_next_image_first() -> None:
    failed = patched("b", running=False, ready=False, why="ErrImagePull")
    decision = decide(replica("a"), failed, image="watchdog:3")
    assert decision.patch is failed


def test_a_replica_that_is_not_ready_is_left_alone_and_named() -> None:
    decision = decide(replica("a", ready=False), patched("b"))
    assert decision.patch is None
    assert decision.waits == "pod a keeps its old watchdog until it is Ready (1 to be exchanged)"


def test_an_exchange_that_goes_on_waits_for_nobody() -> None:
    assert not decide(replica("a"), replica("b", ready=False)).waits
    assert not decide(patched("a", ready=False), replica("b", ready=False)).waits


def test_a_terminating_one_holds_nothing_up() -> None:
    going = replace(patched("a", ready=False), terminating=True)
    decision = decide(going, replica("b"))
    assert decision.patch
    assert decision.patch.name == "b"
