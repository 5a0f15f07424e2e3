"""The command lines for kind. No container engine is asked: scripts on PATH stand for the programs."""

from pathlib import Path

import pytest

from e2e.cluster import kind
from e2e.cluster.places import State
from e2e.cluster.progress import ClusterError, Progress

KUBECONFIG = Path("/state/kubeconfig")


def script(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, besides the shell's own."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(kind, "ENGINES", ("engine-one", "engine-two"))
    return folder


def test_node_image_is_new_enough_for_restarts_in_place() -> None:
    version = kind.NODE_IMAGE.rpartition(":v")[2].split(".")
    assert (int(version[0]), int(version[1])) >= (1, 36)


def test_node_image_can_be_named() -> None:
    assert kind.node_image({}) == kind.NODE_IMAGE
    assert kind.node_image({"LLMWORKER_KIND_IMAGE": "mirror/node:v1.37.0"}) == "mirror/node:v1.37.0"


def test_create() -> None:
    assert kind.create_command(KUBECONFIG, "kindest/node:v1.36.1") == [
        "kind",
        "create",
        "cluster",
        "--name",
        "llmworker",
        "--image",
        "kindest/node:v1.36.1",
        "--kubeconfig",
        "/state/kubeconfig",
        "--wait",
        "300s",
    ]


def test_delete() -> None:
    command = "kind delete cluster --name llmworker --kubeconfig /state/kubeconfig"
    assert kind.delete_command(KUBECONFIG) == command.split()


def test_load() -> None:
    command = "kind load image-archive /images/engine.tar --name llmworker"
    assert kind.load_command(Path("/images/engine.tar")) == command.split()


def test_stop_and_start_of_the_api_server_are_each_others_inverse() -> None:
    stop, start = kind.stop_apiserver_command("docker"), kind.start_apiserver_command("docker")
    assert stop[:4] == start[:4] == ["docker", "exec", "llmworker-control-plane", "mv"]
    assert stop[4:] == start[:3:-1]


def test_podman_is_told_to_kind() -> None:
    assert kind.environment("podman", {"A": "1"}) == {"A": "1", "KIND_EXPERIMENTAL_PROVIDER": "podman"}
    assert kind.environment("docker", {"A": "1"}) == {"A": "1"}


def test_an_engine_without_its_daemon_does_not_count(programs: Path) -> None:
    assert kind.find_engine() is None
    script(programs, "engine-one", "echo cannot connect to the daemon >&2; exit 1")
    assert kind.find_engine() is None
    script(programs, "engine-two", '[ "$1" = info ]')
    assert kind.find_engine() == "engine-two"


def test_a_missing_kind_is_one_sentence(programs: Path) -> None:
    with pytest.raises(ClusterError, match="install kind"):
        kind.KindCluster(State(Path("/state")), "docker").runs()


def test_runs_and_down_ask_kind(programs: Path, tmp_path: Path) -> None:
    script(programs, "kind", f'echo "$@" >> {tmp_path}/asked; [ "$1" = get ] && echo llmworker; true')
    cluster = kind.KindCluster(State(Path("/state")), "docker")
    assert cluster.runs()
    assert cluster.status() == "kind on docker: running"
    cluster.down(Progress())
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [
        "get clusters",
        "get clusters",
        "delete cluster --name llmworker --kubeconfig /state/kubeconfig",
    ]


def test_a_failed_load_tells_kinds_own_words(programs: Path) -> None:
    script(programs, "kind", "echo no such archive >&2; exit 1")
    with pytest.raises(ClusterError, match=r"engine\.tar was not loaded: no such archive"):
        kind.KindCluster(State(Path("/state")), "docker").load_image(Path("engine.tar"))
