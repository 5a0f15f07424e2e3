"""Which cluster is taken, and which is refused."""

from pathlib import Path

import pytest
import yaml

from e2e.cluster.given import GivenCluster, refuse_foreign
from e2e.cluster.kind import KindCluster
from e2e.cluster.local import LocalNode
from e2e.cluster.progress import ClusterError, Progress
from e2e.cluster.source import Source, choose, named_kubeconfig, open_source

SOMEWHERE = Path("/home/someone/.kube/config")


@pytest.mark.parametrize(
    ("source", "kubeconfig", "engine", "chosen"),
    [
        ("auto", SOMEWHERE, "docker", Source.KUBECONFIG),
        ("auto", None, "docker", Source.KIND),
        ("auto", None, None, Source.LOCAL),
        ("kubeconfig", SOMEWHERE, None, Source.KUBECONFIG),
        ("kind", SOMEWHERE, "podman", Source.KIND),
        ("local", SOMEWHERE, "docker", Source.LOCAL),
    ],
)
def test_order_of_choice(source: str, kubeconfig: Path | None, engine: str | None, chosen: Source) -> None:
    assert choose(source, kubeconfig, engine=engine) is chosen


@pytest.mark.parametrize(("source", "says"), [("kubeconfig", "KUBECONFIG"), ("kind", "container engine")])
def test_a_wish_that_cannot_be_met_is_an_error_and_not_another_cluster(source: str, says: str) -> None:
    with pytest.raises(ClusterError, match=says):
        choose(source, None, engine=None)


def test_option_goes_before_the_variable() -> None:
    assert named_kubeconfig(Path("/a"), {"KUBECONFIG": "/b"}) == Path("/a")
    assert named_kubeconfig(None, {"KUBECONFIG": "/b:/c"}) == Path("/b")
    assert named_kubeconfig(None, {}) is None


def test_our_own_kubeconfig_in_the_variable_is_no_given_cluster() -> None:
    env = {"LLMWORKER_STATE": "/var/lib/x", "KUBECONFIG": "/var/lib/x/kubeconfig"}
    assert named_kubeconfig(None, env) is None


@pytest.mark.parametrize("context", ["kind-llmworker", "kind-llmworker-2", "llmworker-local"])
def test_contexts_made_for_tests_are_taken(context: str) -> None:
    refuse_foreign(context, {})


@pytest.mark.parametrize("context", ["", "production", "kind-other", "gke_llmworker-local"])
def test_every_other_context_is_refused(context: str) -> None:
    with pytest.raises(ClusterError, match="LLMWORKER_ALLOW_CONTEXTS"):
        refuse_foreign(context, {})


def test_user_adds_to_the_allow_list() -> None:
    env = {"LLMWORKER_ALLOW_CONTEXTS": "scratch, lab-*"}
    refuse_foreign("scratch", env)
    refuse_foreign("lab-7", env)
    with pytest.raises(ClusterError, match="production"):
        refuse_foreign("production", env)


def test_a_refused_context_is_not_even_asked(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(yaml.safe_dump({"current-context": "production"}))
    with pytest.raises(ClusterError, match="'production' is not on the allow-list"):
        GivenCluster(kubeconfig).up(Progress())


def test_a_given_cluster_is_never_stopped_or_loaded(tmp_path: Path) -> None:
    given = GivenCluster(tmp_path / "config")
    with pytest.raises(ClusterError, match="not ours to stop"):
        given.stop_apiserver()
    with pytest.raises(ClusterError, match="registry"):
        given.load_image(tmp_path / "image.tar")


def test_opening_a_source_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("LLMWORKER_STATE", "/var/lib/nowhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert isinstance(open_source("auto", None, Progress()), LocalNode)
    assert isinstance(open_source("auto", SOMEWHERE, Progress()), GivenCluster)
    for name, chosen in (("docker", LocalNode), ("kind", KindCluster)):  # an engine alone is no cluster
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
        assert isinstance(open_source("auto", None, Progress()), chosen)
