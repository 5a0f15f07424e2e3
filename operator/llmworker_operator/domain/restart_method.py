"""How `Restart` is done in one pod: decided by its template, its node's kubelet and the worker's wish. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import RestartMethodChoice
from llm_watchdog.api.reasons import RestartMethod

if TYPE_CHECKING:
    from collections.abc import Collection

    from llmworker_operator.domain.replica import Replica

RESTART_ALL_CONTAINERS_KUBELET: Final = (1, 36)
"""An older kubelet would restart the watchdog alone on its exit code 88."""


def kubelet_version(text: str) -> tuple[int, int]:
    """`v1.36.3+k3s1` to (1, 36); an unreadable version counts as ancient."""
    match = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def restarts_all_containers(kubelet: str) -> bool:
    return kubelet_version(kubelet) >= RESTART_ALL_CONTAINERS_KUBELET


def every_node_restarts_all_containers(kubelets: Collection[str]) -> bool:
    """False for a cluster without nodes: none is known to."""
    return bool(kubelets) and all(restarts_all_containers(version) for version in kubelets)


def restart_method(replica: Replica, kubelet: str, choice: RestartMethodChoice) -> RestartMethod:
    """What fits this pod; a wish that does not fit makes `Restart` unavailable, it is not overruled."""
    in_place = bool(replica.sidecar and replica.sidecar.restarts_all_containers) and restarts_all_containers(kubelet)
    match choice:
        case RestartMethodChoice.ALL_CONTAINERS:
            return RestartMethod.ALL_CONTAINERS if in_place else RestartMethod.UNAVAILABLE
        case RestartMethodChoice.LIVENESS_PROBE:
            return RestartMethod.LIVENESS_PROBE if replica.restart_probe else RestartMethod.UNAVAILABLE
        case RestartMethodChoice.AUTO:
            if in_place:
                return RestartMethod.ALL_CONTAINERS
            return RestartMethod.LIVENESS_PROBE if replica.restart_probe else RestartMethod.UNAVAILABLE
