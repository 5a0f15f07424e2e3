"""Which cluster is taken, and which is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from e2e.cluster.__main__ import COMMANDS, parse
from e2e.cluster.abilities import why_no_images, why_not_here
from e2e.cluster.given import GivenCluster, refuse_foreign
from e2e.cluster.kind import KindCluster
from e2e.cluster.local import LocalNode
from e2e.cluster.places import REPOSITORY, State
from e2e.cluster.progress import ClusterError, Progress
from e2e.cluster.source import ClusterSource, Source, choose, named_kubeconfig, open_source

SOMEWHERE = Path("/home/someone/.kube/config")
GIVEN = GivenCluster(SOMEWHERE)
KIND = KindCluster(State(Path("/state")), "docker")
LOCAL = LocalNode(State(Path("/state")))


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


@pytest.mark.parametrize("source", [KIND, LOCAL], ids=["kind", "local"])
def test_images_are_loaded_onto_a_cluster_of_ours(source: ClusterSource) -> None:
    assert why_no_images(source) is None


def test_a_given_cluster_is_refused_before_anything_is_built_for_it() -> None:
    why = why_no_images(GIVEN) or ""
    assert "unset KUBECONFIG" in why
    assert "`On your own cluster`" in why


@pytest.mark.parametrize(
    ("source", "here"), [(LOCAL, True), (KIND, False), (GIVEN, False)], ids=["local", "kind", "given"]
)
def test_what_needs_this_machine_is_left_out_elsewhere_with_the_reason(source: ClusterSource, *, here: bool) -> None:
    why = why_not_here("It looks at this disk", source)
    told = "It looks at this disk, which only the local node can do: unset KUBECONFIG and choose the source `local`."
    assert why == (None if here else told)


def test_make_e2e_refuses_a_given_cluster_before_it_runs_a_test(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    command = [sys.executable, "-m", "e2e.cluster", "--kubeconfig", str(tmp_path / "config"), "run", "touch", str(ran)]
    refused = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("error: Demo and end-to-end tests load the images")
    assert not ran.exists()


def neutral() -> dict[str, str]:
    """This environment without what a `make` above the tests and its user's wishes put there."""
    wishes = ("MAKE", "MFLAGS", "KUBECONFIG", "LLMWORKER", "SOURCE")
    return {name: value for name, value in os.environ.items() if not name.startswith(wishes)}


NOTHING_ELSE = """#!/bin/sh
echo "$*" >>"$0.asked"
case "$*" in
  "python -m e2e."*) shift; exec "$PYTHON" "$@" ;;
  *) exit 1 ;;
esac
"""
"""In the place of `uv run`: it starts the project's own programs, and what a test would be fails at once."""


@pytest.mark.parametrize(
    ("command", "asked"), [(".ci/run", "python -m e2e.cluster ask"), ("make demo", "python -m e2e.demo")]
)
def test_what_will_need_a_cluster_asks_before_all_else(tmp_path: Path, command: str, asked: str) -> None:
    """`.ci/run` is `make test`."""
    runner = tmp_path / "run"
    runner.write_text(NOTHING_ELSE)
    runner.chmod(0o755)
    env = {"KUBECONFIG": str(tmp_path / "config"), "MAKEFLAGS": f"-- RUN={runner}", "PYTHON": sys.executable}
    refused = subprocess.run(
        command.split(), cwd=REPOSITORY, env=neutral() | env, capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert f"{why_no_images(GIVEN)}" in refused.stdout + refused.stderr
    assert Path(f"{runner}.asked").read_text().splitlines() == [asked]


@pytest.mark.parametrize("words", [["ask"], ["run", "false"]], ids=" ".join)
def test_where_the_node_could_not_start_it_is_said_at_once(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    arguments = parse(["--source", "local", *words])
    with pytest.raises(ClusterError, match="needs Linux and root"):
        COMMANDS[arguments.command][0](arguments, Progress())


@pytest.mark.parametrize(
    ("words", "environment", "passed"),
    [
        ([], {}, ""),
        ([], {"KUBECONFIG": "/of/the/shell"}, ""),
        (["KUBECONFIG=/mine"], {"KUBECONFIG": "/of/the/shell"}, "--kubeconfig=/mine"),
        (["SOURCE=kind"], {}, "--source=kind"),
    ],
)
def test_make_cluster_up_passes_on_what_is_named_and_not_what_the_shell_has(
    words: list[str], environment: dict[str, str], passed: str
) -> None:
    """What the shell has is read by the program, which takes contexts of the allow-list only."""
    told = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv/.synced", "cluster-up", *words],
        cwd=REPOSITORY,
        env=neutral() | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    words = told.stdout.replace("\\\n", " ").split()
    start = words.index("e2e.cluster") + 1
    assert words[start:] == [*passed.split(), "up"]
