"""How `Restart` is done in a pod."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm_watchdog.api.policy import RestartMethodChoice
from llm_watchdog.api.reasons import RestartMethod
from llmworker_operator.domain.restart_method import (
    every_node_restarts_all_containers,
    kubelet_version,
    restart_method,
)
from tests.operator.making import replica

AUTO, ALL, PROBE = RestartMethodChoice.AUTO, RestartMethodChoice.ALL_CONTAINERS, RestartMethodChoice.LIVENESS_PROBE
PLAIN = replica("a")
assert PLAIN.sidecar is not None
RULES = replace(PLAIN, sidecar=replace(PLAIN.sidecar, restarts_all_containers=True))
WITH_PROBE = replace(PLAIN, restart_probe=True)
BOTH = replace(RULES, restart_probe=True)


@pytest.mark.parametrize(
    ("pod", "kubelet", "choice", "method"),
    [
        (BOTH, "v1.36.3", AUTO, RestartMethod.ALL_CONTAINERS),
        (BOTH, "v1.35.9", AUTO, RestartMethod.LIVENESS_PROBE),
        (RULES, "v1.35.9", AUTO, RestartMethod.UNAVAILABLE),
        (WITH_PROBE, "v1.40.0", AUTO, RestartMethod.LIVENESS_PROBE),
        (PLAIN, "v1.36.3", AUTO, RestartMethod.UNAVAILABLE),
        (BOTH, "v1.36.3", PROBE, RestartMethod.LIVENESS_PROBE),
        (RULES, "v1.36.3", PROBE, RestartMethod.UNAVAILABLE),
        (BOTH, "v1.36.3", ALL, RestartMethod.ALL_CONTAINERS),
        (BOTH, "v1.35.0", ALL, RestartMethod.UNAVAILABLE),
        (WITH_PROBE, "v1.36.3", ALL, RestartMethod.UNAVAILABLE),
        (replace(BOTH, sidecar=None), "v1.36.3", AUTO, RestartMethod.LIVENESS_PROBE),
        (BOTH, "", AUTO, RestartMethod.LIVENESS_PROBE),
    ],
)
def test_method(pod: object, kubelet: str, choice: RestartMethodChoice, method: RestartMethod) -> None:
    assert restart_method(pod, kubelet, choice) is method  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "version"),
    [("v1.36.3", (1, 36)), ("v1.36.0-eks-abc", (1, 36)), ("1.37.1+k3s1", (1, 37)), ("?", (0, 0)), ("v2.1.0", (2, 1))],
)
def test_versions(text: str, version: tuple[int, int]) -> None:
    assert kubelet_version(text) == version


def test_no_node_is_not_every_node() -> None:
    assert not every_node_restarts_all_containers([])
    assert every_node_restarts_all_containers(["v1.36.0", "v1.37.1"])
    assert not every_node_restarts_all_containers(["v1.36.0", "v1.35.1"])
