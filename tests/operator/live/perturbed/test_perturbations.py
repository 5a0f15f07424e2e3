"""A remediation whose every exchange with the API server may be disturbed ends as if none had been."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_watchdog.api.reasons import Mode
from tests.operator.live.perturbed.perturbations import PERTURBATIONS, Draw, everything
from tests.operator.live.perturbed.relay import Undisturbed

if TYPE_CHECKING:
    from tests.operator.live.perturbed.relay import Perturbation, Relay
    from tests.operator.live.perturbed.scene import Scene

pytestmark = pytest.mark.apiserver

SEED = 1
REPLICAS = 2
LIVES = 2
"""Of a watchdog: the restart of its engine takes it along."""


def remedy(scene: Scene, relay: Relay, perturbation: Perturbation) -> None:
    """Both replicas hang, one after the other may be restarted; then the disturbance ends."""
    relay.perturbation = perturbation
    scene.start_operator()
    scene.make_pods(REPLICAS)
    for pod in scene.pods:
        pod.hang()
    scene.until("both recovered", scene.recovered)
    relay.perturbation = Undisturbed()


def obey(scene: Scene) -> None:
    """Both programs are those that were started, and do what is wanted of them now."""
    changed = {"spec": {"replicas": 3, "watchdog": {"mode": "Observe"}}}
    scene.api.patch("llmworkers", scene.namespace, "qwen", changed)
    scene.until("the Deployment", lambda: _replicas(scene) == 3)
    scene.until("the mode", lambda: _modes(scene) == {Mode.OBSERVE})
    assert scene.operator
    assert scene.operator.alive, scene.logs()
    assert [pod.lives for pod in scene.pods] == [LIVES] * REPLICAS, scene.logs()


def _replicas(scene: Scene) -> int | None:
    deployment = scene.api.get("deployments", scene.namespace, "qwen")
    return deployment["spec"]["replicas"] if deployment else None


def _modes(scene: Scene) -> set[Mode | None]:
    memories = [pod.memory for pod in scene.pods]
    return {memory.modes.mode if memory and memory.modes else None for memory in memories}


@pytest.mark.long
@pytest.mark.parametrize("name", PERTURBATIONS)
def test_perturbed(scene: Scene, relay: Relay, name: str) -> None:
    draw = Draw(SEED)
    remedy(scene, relay, PERTURBATIONS[name](draw))
    assert draw.hits.total(), "nothing was disturbed"
    scene.check()
    obey(scene)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_at_once(scene: Scene, relay: Relay, seed: int) -> None:
    """To play a failure again: the same seed disturbs the same requests."""
    draw = Draw(seed)
    remedy(scene, relay, everything(draw, seed))
    assert draw.hits.total(), "nothing was disturbed"
    scene.check()
    obey(scene)
