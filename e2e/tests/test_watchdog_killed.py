"""The watchdog dies, at any stage of an incident or again and again: neither the engine nor the record notices."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from e2e.lab.access import wait_for
from e2e.lab.crash_points import ANNOTATION, crashed_at, in_force
from e2e.lab.processes import hang
from e2e.lab.timeline import condition, engine_id, restarts, states_of
from e2e.lab.watchdogs import kill_each_second
from llm_watchdog.core.case import Stage

if TYPE_CHECKING:
    from e2e.lab.access import Access
    from e2e.lab.workers import Worker
    from e2e.tests.conftest import Scene, WorkerFactory

pytestmark = pytest.mark.cluster

NAMESPACE = "models"
RECOVERY_SECONDS = 150
AT_ONCE = 4
STAGES = [stage for stage in Stage if stage not in (Stage.ABORTING, Stage.FLUSHING, Stage.REPLACING)]
"""All that a hang goes through; its ladder neither aborts nor flushes."""


def die_in(stage: Stage, make_worker: WorkerFactory) -> None:
    """Hang the only replica of a worker whose watchdog kills itself with SIGKILL once that stage is in its journal."""
    point = f"journalled:{stage}"
    worker: Worker = make_worker(f"killed-{stage.lower()}", replicas=1, annotations={ANNOTATION: point})
    pod = worker.only_pod()
    assert crashed_at(worker.access, NAMESPACE, pod) == "", "it died before there was an incident"
    hang(worker.access, NAMESPACE, pod)
    incident = worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1)
    assert crashed_at(worker.access, NAMESPACE, pod) == point, "it did not die in that stage"
    assert incident["status"]["outcome"] == "Recovered", (stage, incident)
    assert len(worker.incidents()) == 1, f"the incident was doubled when killed in {stage}"
    steps = incident["status"]["steps"]
    assert [step["step"] for step in steps] == ["Drain", "Restart"], f"a step was repeated when killed in {stage}"
    assert steps[-1]["outcome"] == "Succeeded"
    assert restarts(worker.pod(pod)) == 1, f"the engine was started anew more than once when killed in {stage}"
    worker.delete()


@pytest.mark.longest
def test_a_watchdog_killed_at_any_stage_continues_its_incident(installed: Access, make_worker: WorkerFactory) -> None:
    with in_force(installed, NAMESPACE), ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(die_in, stage, make_worker) for stage in STAGES]:
            done.result()


CRASHING_SECONDS = 60
KILLS_MIN = 12
"""The supervisor pauses 0.2, 0.4, 0.8, 1.6 and 3.2 s and then 5 s before each new start, as no child lives for 30 s. Of
the kills, one each second, those at 0, 1, 2, 3, 5, 9, 15, 21, 27, 33, 39, 45, 51 and 57 s find a child: 14. Two fewer,
because on a busy node a start may be late by more than what is left of its second."""


def test_a_watchdog_that_crashes_every_second_costs_nothing(
    installed: Access, make_worker: WorkerFactory, scene: Scene
) -> None:
    worker = make_worker("crashloop", replicas=1)
    pod = worker.only_pod()
    before = engine_id(worker.pod(pod))
    begin = time.time()
    killed = kill_each_second(installed, NAMESPACE, pod, CRASHING_SECONDS)
    worker.kubectl("annotate", "pod", pod, "e2e.llmworker.dev/minute=over")

    def over() -> bool:
        seen = states_of(pod, begin, scene.pods.seen)
        return any("e2e.llmworker.dev/minute" in state["metadata"].get("annotations", {}) for state in seen)

    # It comes through the same watch, so the watch has lived, and has shown every change of this minute.
    wait_for("the end of the minute in the watch", over, timeout=10)
    assert len(killed) == CRASHING_SECONDS
    assert sum(killed) >= KILLS_MIN, f"a child was there to be killed in these seconds only: {killed}"
    since = set()
    for state in states_of(pod, begin, scene.pods.seen):
        ready = condition(state, "Ready")
        assert ready is not None
        assert ready["status"] == "True", ready
        since.add(ready["lastTransitionTime"])
        assert restarts(state) == 0
        assert state["status"]["initContainerStatuses"][-1]["restartCount"] == 0, "the container itself ended"
    assert len(since) == 1, f"it was not Ready between two of these: {since}"
    assert engine_id(worker.pod(pod)) == before
    assert worker.incidents() == []
