"""A new watchdog image, one pod at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from llmworker_operator.domain.replica import ANNOTATION_WATCHDOG_UPDATE, Replica, Sidecar
from llmworker_operator.domain.watchdog_update import UpdateDecision, decide_update
from llmworker_operator.reconcile.pods import image_patch
from tests.operator.making import asking, grant, incident, replica, stamp, step

if TYPE_CHECKING:
    from llmworker_operator.domain.record import IncidentView

NEW = "watchdog:2"


def patched(name: str, *, running: bool = True, restarted: bool = True, ready: bool = True, why: str = "") -> Replica:
    container_id = f"new-{name}" if restarted else f"old-{name}"
    sidecar = Sidecar(image=NEW, container_id=container_id, running=running, waiting_reason=why)
    return replace(replica(name), ready=ready, update_from=f"old-{name}", sidecar=sidecar)


def decide(
    *mine: Replica, elsewhere: tuple[Replica, ...] = (), image: str = NEW, incidents: tuple[IncidentView, ...] = ()
) -> UpdateDecision:
    return decide_update(mine, (*mine, *elsewhere), incidents, image)


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


@pytest.mark.parametrize(
    "holding",
    [
        pytest.param(incident("b", phase="Acting"), id="it acts"),
        pytest.param(incident("b", phase="Acting", grant=grant(0)), id="it acts with a grant"),
        pytest.param(incident("b", phase="Verifying"), id="it verifies"),
        pytest.param(incident("b", phase="Pondering"), id="in a phase that a newer watchdog knows"),
        pytest.param(asking("b", grant=grant(0)), id="granted, not claimed yet"),
        pytest.param(incident("b", phase="Open", grant=grant(0)), id="given up, not withdrawn yet"),
        pytest.param(asking("b", steps=[step(0, outcome="Failed")]), id="between two restarts"),
        pytest.param(incident("gone", phase="Acting"), id="of a pod that is gone, not closed yet"),
    ],
)
def test_no_watchdog_of_a_worker_is_exchanged_while_an_incident_of_it_is_dealt_with(holding: IncidentView) -> None:
    decision = decide(replica("a"), replica("b"), incidents=(holding,))
    assert decision.patch is None
    assert decision.under_way, "looked at again"
    assert f"incident {holding.name} of pod {holding.pod_name}" in decision.waits
    assert "2 to be exchanged" in decision.waits


@pytest.mark.parametrize(
    "idle",
    [
        pytest.param(incident("b"), id="open"),
        pytest.param(asking("b"), id="asking"),
        pytest.param(asking("b", steps=[step(0, outcome="DryRun")]), id="asking, only tried dry"),
        pytest.param(incident("b", phase="Closed", closedAt=stamp(0), grant=grant(0)), id="closed with its grant"),
        pytest.param(incident("b", phase="Closed", closedAt=stamp(0), steps=[step(0)]), id="closed after a restart"),
    ],
)
def test_an_incident_that_holds_no_budget_holds_no_exchange_up(idle: IncidentView) -> None:
    decision = decide(replica("a"), replica("b"), incidents=(idle,))
    assert decision.patch
    assert decision.patch.name == "a"
    assert not decision.waits


def test_nothing_waits_where_nothing_is_to_be_exchanged() -> None:
    acting = incident("a", phase="Acting")
    assert decide(replica("a"), image="watchdog:1", incidents=(acting,)) == UpdateDecision()


def test_the_mark_of_a_finished_exchange_goes_during_an_incident_too() -> None:
    decision = decide(patched("a"), replica("b"), incidents=(incident("a", phase="Acting"),))
    assert ([r.name for r in decision.finished], decision.patch) == (["a"], None)


def test_a_watchdog_that_cannot_start_gets_the_better_image_though_it_holds_a_grant() -> None:
    """Else neither would ever end: it alone closes its incident."""
    failed = patched("b", running=False, ready=False, why="CrashLoopBackOff")
    acting = incident("b", phase="Acting")
    assert decide(replica("a"), failed, image="watchdog:3", incidents=(acting,)).patch is failed


def test_a_watchdog_that_is_being_restarted_with_its_engine_is_left_alone() -> None:
    """It is down for seconds, by its own order, and its incident needs it again."""
    restarting = patched("b", running=False, ready=False)
    acting = incident("b", phase="Acting")
    assert decide(replica("a"), restarting, image="watchdog:3", incidents=(acting,)).patch is None
    assert decide(replica("a"), restarting, image="watchdog:3").patch is restarting
