"""A new operator version restarts no engine: its watchdogs are exchanged in place, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab.operator_process import operator
from tests.operator.live.api import Api, condition, until
from tests.operator.live.fleet import Fleet, set_watchdog

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("nodes")]

PODS = ("qwen-x-0", "qwen-x-1", "qwen-x-2")


def images(api: Api, namespace: str) -> list[str]:
    pods = [api.get("pods", namespace, name) or {} for name in PODS]
    return [pod["spec"]["initContainers"][0]["image"] for pod in pods]


def deployment(api: Api, namespace: str) -> dict[str, Any]:
    found = api.get("deployments", namespace, "qwen")
    assert found
    return found


@pytest.fixture
def fleet(api: Api, installed: Path, namespace: str, tmp_path: Path) -> Fleet:
    with operator(installed, tmp_path / "before.log", identity="same", watchdog_image="watchdog:1") as before:
        before.wait_until_it_leads()
        made = Fleet(api, namespace)
        before.stop()
    return made


def test_one_pod_at_a_time_and_no_rollout(
    api: Api, installed: Path, namespace: str, tmp_path: Path, fleet: Fleet
) -> None:
    before = deployment(api, namespace)
    with operator(installed, tmp_path / "after.log", identity="same", watchdog_image="watchdog:2") as after:
        after.wait_until_it_leads()
        for number, pod in enumerate(PODS, start=1):
            until(lambda: images(api, namespace).count("watchdog:2") == number)  # noqa: B023
            assert images(api, namespace)[:number] == ["watchdog:2"] * number
            set_watchdog(api, namespace, pod, f"containerd://first-{pod}", ready=False)
            set_watchdog(api, namespace, pod, f"containerd://second-{pod}", ready=False)
            set_watchdog(api, namespace, pod, f"containerd://second-{pod}")
        after.stop()
    assert deployment(api, namespace)["spec"] == before["spec"]
    assert deployment(api, namespace)["metadata"]["generation"] == before["metadata"]["generation"]


def test_a_failure_stops_it_and_a_better_image_goes_to_the_failed_one_first(
    api: Api, installed: Path, namespace: str, tmp_path: Path, fleet: Fleet
) -> None:
    with operator(installed, tmp_path / "bad.log", identity="same", watchdog_image="watchdog:bad") as bad:
        bad.wait_until_it_leads()
        until(lambda: images(api, namespace)[0] == "watchdog:bad")
        set_watchdog(api, namespace, PODS[0], f"containerd://first-{PODS[0]}", ready=False, waiting="ErrImagePull")
        degraded = until(lambda: condition(fleet.worker(), "Degraded"))
        assert degraded["reason"] == "WatchdogUpdateFailed"
        assert "ErrImagePull" in degraded["message"]
        assert images(api, namespace) == ["watchdog:bad", "watchdog:1", "watchdog:1"]
        bad.stop()
    with operator(installed, tmp_path / "good.log", identity="same", watchdog_image="watchdog:good") as good:
        good.wait_until_it_leads()
        until(lambda: images(api, namespace) == ["watchdog:good", "watchdog:1", "watchdog:1"])
        set_watchdog(api, namespace, PODS[0], f"containerd://second-{PODS[0]}")
        until(lambda: images(api, namespace) == ["watchdog:good", "watchdog:good", "watchdog:1"])
        until(lambda: not condition(fleet.worker(), "Degraded"))
        good.stop()


def test_a_changed_spec_takes_the_new_image_along(
    api: Api, installed: Path, namespace: str, tmp_path: Path, fleet: Fleet
) -> None:
    with operator(installed, tmp_path / "after.log", identity="same", watchdog_image="watchdog:2") as after:
        after.wait_until_it_leads()
        template = {"spec": {"containers": [{"name": "engine", "image": "engine:2"}]}}
        api.patch("llmworkers", namespace, "qwen", {"spec": {"template": template}})

        def both() -> tuple[str, str]:
            spec = deployment(api, namespace)["spec"]["template"]["spec"]
            return spec["containers"][0]["image"], spec["initContainers"][0]["image"]

        until(lambda: both() == ("engine:2", "watchdog:2"))
        after.stop()
