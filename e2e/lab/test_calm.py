"""What counts as something that fired."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.lab.calm import standing
from llm_watchdog.api import names


def pod(
    *,
    uid: str = "u",
    gate: tuple[str, str] = ("True", "10:00:00"),
    ready: tuple[str, str] = ("True", "10:00:01"),
    container: str = "containerd://1",
    watchdog_restarts: int = 0,
) -> dict[str, Any]:
    kinds = {names.ROTATION_GATE: gate, "Ready": ready}
    engine = {"name": names.ENGINE_CONTAINER, "containerID": container, "restartCount": 0, "state": {"running": {}}}
    return {
        "metadata": {"name": "p", "uid": uid},
        "status": {
            "conditions": [{"type": k, "status": s, "lastTransitionTime": t} for k, (s, t) in kinds.items()],
            "containerStatuses": [engine],
            "initContainerStatuses": [{"name": names.WATCHDOG_CONTAINER, "restartCount": watchdog_restarts}],
        },
    }


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(pod(gate=("True", "10:05:00")), id="left rotation and came back"),
        pytest.param(pod(gate=("False", "10:05:00")), id="left rotation"),
        pytest.param(pod(ready=("True", "10:05:00")), id="the kubelet saw it unready"),
        pytest.param(pod(container="containerd://2"), id="the engine was started anew"),
        pytest.param(pod(watchdog_restarts=1), id="the watchdog was started anew"),
        pytest.param(pod(uid="v"), id="the pod was replaced"),
    ],
)
def test_whatever_happens_to_a_replica_shows(later: dict[str, Any]) -> None:
    assert standing([later]) != standing([pod()])


def test_a_replica_that_nothing_happens_to_stays_the_same() -> None:
    assert standing([pod()]) == standing([pod()]) != {}
