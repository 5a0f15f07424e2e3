"""Pins, cache keys, versions of installed programs, and the order of the places where programs are found."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.cluster.binaries import cached_at, ensure_programs
from e2e.cluster.build import adopt, build_command, build_environment
from e2e.cluster.found import find_installed, tells_version
from e2e.cluster.packages import BUILD_PACKAGES, NODE_PACKAGES, install_sentence, missing_packages
from e2e.cluster.places import cache_dir
from e2e.cluster.programs import PROGRAMS, WHOLE_NODE, Program
from e2e.cluster.progress import Progress

ETCD = PROGRAMS["etcd"]
RUNC = PROGRAMS["runc"]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=lambda program: program.name)
def test_module_names_the_program_and_its_version(program: Program) -> None:
    text = (program.module.folder / "go.mod").read_text()
    assert re.search(rf"^(tool)?\s+{re.escape(program.package)}$", text, re.MULTILINE)
    assert re.search(rf" v{re.escape(program.module.tag or program.module.version)}( |$)", text, re.MULTILINE)


def test_kubernetes_tells_its_version() -> None:
    assert "gitVersion=v1.36.3" in PROGRAMS["kubelet"].module.ldflags


def test_cache_key_changes_with_flags_and_only_with_them() -> None:
    module = ETCD.module
    assert module.key == replace(module).key
    assert len({module.key, replace(module, tags="x").key, replace(module, cgo=True).key}) == 3


def test_only_runc_is_built_with_cgo() -> None:
    assert build_environment(RUNC.module)["CGO_ENABLED"] == "1"
    assert build_environment(ETCD.module)["CGO_ENABLED"] == "0"
    assert "seccomp" in build_command("go", RUNC.module, [RUNC], Path("/bin"))


def test_build_command() -> None:
    assert build_command("/go", ETCD.module, [ETCD], Path("/into")) == [
        *("/go", "build", "-trimpath", "-ldflags", "-s -w", "-o", "/into/", "go.etcd.io/etcd/server/v3"),
    ]


def test_a_program_is_cached_under_its_own_name(tmp_path: Path) -> None:
    scratch, cache = tmp_path / "scratch", tmp_path / "cache"
    scratch.mkdir()
    (scratch / "server").write_text("etcd")
    (scratch / "runc").write_text("runc")
    adopt(scratch, [ETCD, RUNC], cache)
    assert {path.name: path.read_text() for path in cache.iterdir()} == {"etcd": "etcd", "runc": "runc"}


@pytest.mark.parametrize(
    ("output", "same"),
    [
        ("Kubernetes v1.36.3", True),
        ("containerd github.com/containerd/containerd/v2 1.36.3+unknown", True),
        ("Kubernetes v1.36.30", False),
        ("Kubernetes v11.36.3", False),
        ("Kubernetes v1.36.3.1", False),
        ("Kubernetes v1.35.3", False),
    ],
)
def test_versions_are_compared_whole(output: str, *, same: bool) -> None:
    assert tells_version(output, "1.36.3") is same


def installed(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_an_installed_program_counts_with_the_pinned_version_only(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path)}
    assert find_installed(RUNC, env) is None
    installed(tmp_path, "runc", "echo runc version 1.1.5")
    assert find_installed(RUNC, env) is None
    right = installed(tmp_path, "runc", f"echo runc version {RUNC.module.version}")
    assert find_installed(RUNC, env) == right


def test_kubebuilder_assets_go_before_path(tmp_path: Path) -> None:
    assets, path = tmp_path / "assets", tmp_path / "path"
    for folder in (assets, path):
        folder.mkdir()
        installed(folder, "etcd", f"echo etcd Version: {ETCD.module.version}")
    env = {"KUBEBUILDER_ASSETS": str(assets), "PATH": str(path)}
    assert find_installed(ETCD, env) == assets / "etcd"


def test_a_filled_cache_needs_nothing_else(tmp_path: Path) -> None:
    env = {"LLMWORKER_CACHE": str(tmp_path), "PATH": ""}
    for name in WHOLE_NODE:
        path = cached_at(PROGRAMS[name], env)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = ensure_programs(WHOLE_NODE, Progress(), env)
    assert found == {name: cached_at(PROGRAMS[name], env) for name in WHOLE_NODE}


def test_installed_programs_spare_the_build(tmp_path: Path) -> None:
    right = installed(tmp_path, "runc", f"echo runc version {RUNC.module.version}")
    env = {"LLMWORKER_CACHE": str(tmp_path / "cache"), "PATH": str(tmp_path), "LLMWORKER_DOWNLOADS": "0"}
    assert ensure_programs(["runc"], Progress(), env) == {"runc": right}


def test_cache_folder() -> None:
    assert cache_dir({"LLMWORKER_CACHE": "/c", "XDG_CACHE_HOME": "/x"}) == Path("/c")
    assert cache_dir({"XDG_CACHE_HOME": "/x"}) == Path("/x/llmworker")
    assert cache_dir({"HOME": "/home/me"}) == Path("/home/me/.cache/llmworker")


def test_missing_packages_are_named_with_the_remedy() -> None:
    wanted = {"there": ("/nowhere", "/proc/self/stat"), "absent": ("/nowhere",)}
    assert missing_packages(wanted) == ["absent"]
    assert install_sentence(["absent"]) == "Install these packages (Debian's names) as root: absent."
    assert not set(NODE_PACKAGES) & set(BUILD_PACKAGES)
