"""kill -9 before and after each write of one remediation, of either program: it ends as without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.operator.live.perturbed.pods import KILLED
from tests.operator.live.perturbed.scene import HAPPENINGS
from tests.operator.live.story import died_for, noted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.operator.live.perturbed.scene import Scene

pytestmark = pytest.mark.apiserver

REPLICA_LIVES = 2
"""Of a watchdog that nobody kills: the restart of its engine takes it along."""
STAGES = ("Draining", "Awaiting", "Claiming", "Claimed", "Ordered", "Verifying", "Closed")
API_WRITES = {
    "API: create LLMIncident",
    "API: status AwaitingGrant ['Drain Succeeded']",
    "API: status Acting ['Drain Succeeded', 'Restart begun'] as a claim",
    "API: status Closed ['Drain Succeeded', 'Restart Succeeded']",
    "API: gate True Serving",
    *(f"API: create Event {key}" for key in HAPPENINGS),
}
ORDER = "handing over of the order"
"""All three are told in every run. There are more, and they are died for too, but a suspicion, a reason of the gate and
some phases may be passed before they are written.
"""


def remedy(scene: Scene, *, replicas: int, dies: str = "never") -> None:
    scene.make_pods(replicas, dies=dies)
    for pod in scene.pods:
        pod.hang()


def writes(scene: Scene) -> set[str]:
    return set((scene.pods[0].place.directory / "deaths").read_text().splitlines())


def test_the_undisturbed_watchdog_writes_all_that_there_is_to_write(scene: Scene) -> None:
    """What is not in here would not be died for either."""
    scene.start_operator()
    remedy(scene, replicas=1)
    scene.until("recovered", scene.recovered)
    scene.check()
    check_writes(scene, {*API_WRITES, ORDER})
    assert scene.pods[0].lives == REPLICA_LIVES


def check_writes(scene: Scene, expected: set[str]) -> None:
    told = writes(scene)
    assert told >= expected
    assert all(any(what.startswith(f"journal: {stage} ") for what in told) for stage in STAGES), told


@pytest.mark.parametrize("dies", ["before", "after"])
def test_the_watchdog_is_killed_around_every_write(scene: Scene, dies: str) -> None:
    scene.start_operator()
    remedy(scene, replicas=1, dies=dies)
    pod, expected = scene.pods[0], API_WRITES if dies == "after" else {*API_WRITES, ORDER}
    scene.until("recovered", lambda: scene.recovered() and writes(scene) >= expected)
    scene.until("a life after each death", lambda: pod.lives == REPLICA_LIVES + len(writes(scene)))
    scene.check()
    check_writes(scene, expected)
    (status,) = scene.statuses().values()
    assert status["occurrences"] == 1


@pytest.mark.parametrize("dies", ["before", "after"])
def test_the_operator_is_killed_around_every_write(scene: Scene, tmp_path: Path, dies: str) -> None:
    """From the first question for a grant to the end of the second replica's incident."""
    points = tmp_path / "points"
    scene.start_operator()
    scene.make_pods(2)
    scene.end_operator()
    scene.start_operator(crash_at=f"{dies}:{points}")
    for pod in scene.pods:
        pod.hang()

    def recovered() -> bool:
        scene.tend_operator(KILLED)
        return scene.recovered()

    scene.until("both recovered", recovered)
    scene.check()
    writes_died_for = died_for(points, scene.namespace)
    assert sum("/llmincidents/" in what for what in writes_died_for) >= len(scene.pods), writes_died_for
    assert any("/llmworkers/" in what for what in writes_died_for), writes_died_for
    assert scene.operators > len(noted(points, "crash", scene.namespace))
