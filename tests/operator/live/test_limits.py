"""What an engine cannot show is said in a condition and by an Event, and again when the spec changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.live.api import Api, condition, until
from tests.operator.live.worker import settled, worker_manifest

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("running")]


def limited(api: Api, namespace: str) -> dict[str, Any] | None:
    return condition(settled(api, namespace), "Limited")


def test_of_a_new_worker(api: Api, apiserver: ApiAccess, namespace: str) -> None:
    api.create("llmworkers", worker_manifest(namespace, engine={"type": "fastchat"}))
    found = limited(api, namespace)
    assert found
    assert found["reason"] == "LeaksUnseen"
    assert "engine.concurrency" in found["message"]
    described = ("-n", namespace, "describe", "llmworker", "qwen")
    until(lambda: "Limited: leaked slots cannot be seen" in apiserver.kubectl(*described).stdout)


def test_of_a_changed_worker(api: Api, namespace: str) -> None:
    api.create("llmworkers", worker_manifest(namespace, engine={"type": "fastchat"}))
    settled(api, namespace)
    api.patch("llmworkers", namespace, "qwen", {"spec": {"engine": {"concurrency": 5}}})
    changed = limited(api, namespace)
    assert changed
    assert "engine.concurrency" not in changed["message"]
    api.patch("llmworkers", namespace, "qwen", {"spec": {"engine": {"type": "vllm"}}})
    assert limited(api, namespace) is None


def test_a_limited_worker_is_ready(api: Api, namespace: str) -> None:
    api.create("llmworkers", worker_manifest(namespace, replicas=0))
    assert limited(api, namespace)
    assert condition(settled(api, namespace), "Available")["status"] == "True"  # type: ignore[index]
