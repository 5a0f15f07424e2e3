"""The node runs pods, answers `exec`, and outlives a stop of its API server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster.given import refuse_foreign
from e2e.cluster.kubeconfig import current_context
from e2e.cluster.pause import IMAGE, pause_archive, read_busybox
from e2e.cluster.progress import Progress
from e2e.cluster.sleeper import SLEEPER
from e2e.cluster.source import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "node-test", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
}


@pytest.fixture(scope="module")
def sleeper(cluster: Cluster) -> Iterator[Cluster]:
    cluster.kubectl("delete", "namespace", "node-test", "--ignore-not-found", check=True)
    cluster.kubectl("create", "-f", "-", input=json.dumps(NAMESPACE), check=True)
    cluster.kubectl("-n", "node-test", "create", "-f", "-", input=json.dumps(SLEEPER), check=True)
    cluster.kubectl("-n", "node-test", "wait", "--for=condition=Ready", "pod/sleeper", "--timeout=60s", check=True)
    yield cluster
    cluster.kubectl("delete", "namespace", "node-test", "--wait=false", check=True)


def container(cluster: Cluster) -> dict[str, object]:
    shown = cluster.kubectl("-n", "node-test", "get", "pod", "sleeper", "-o", "json", check=True)
    found: dict[str, object] = json.loads(shown.stdout)["status"]["containerStatuses"][0]
    return found


def test_kubelet_is_new_enough_for_restarts_in_place(cluster: Cluster) -> None:
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json", check=True).stdout)["items"]
    versions = [node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes]
    assert all(tuple(map(int, version.lstrip("v").split(".")[:2])) >= (1, 36) for version in versions)


def test_context_is_on_the_allow_list(cluster: Cluster) -> None:
    refuse_foreign(current_context(cluster.kubeconfig))


def test_exec_reaches_a_restricted_pod(sleeper: Cluster) -> None:
    told = sleeper.kubectl("-n", "node-test", "exec", "sleeper", "--", "/bin/busybox", "id", "-u", check=True)
    assert told.stdout.strip() == "1000"


def test_pod_outlives_a_stop_of_the_api_server(sleeper: Cluster) -> None:
    before = container(sleeper)
    sleeper.stop_apiserver()
    try:
        assert sleeper.kubectl("get", "--raw", "/livez", "--request-timeout=3s").returncode != 0
    finally:
        sleeper.start_apiserver()
    assert container(sleeper)["containerID"] == before["containerID"]


def test_up_starts_what_has_ended_and_keeps_what_runs(sleeper: Cluster) -> None:
    before = container(sleeper)
    sleeper.stop_apiserver()
    sleeper.source.up(Progress())
    assert container(sleeper)["containerID"] == before["containerID"]


def test_a_loaded_image_runs(sleeper: Cluster, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(pause_archive(read_busybox(), "llmworker.dev/e2e/loaded:1"))
    sleeper.load_image(archive)
    pod = json.loads(json.dumps(SLEEPER).replace(IMAGE, "llmworker.dev/e2e/loaded:1"))
    pod["metadata"]["name"] = "loaded"
    sleeper.kubectl("-n", "node-test", "create", "-f", "-", input=json.dumps(pod), check=True)
    sleeper.kubectl("-n", "node-test", "wait", "--for=condition=Ready", "pod/loaded", "--timeout=60s", check=True)
