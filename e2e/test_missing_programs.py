"""Each program that can be missing is asked for by a sentence that says what to install."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from e2e.cluster.build import find_go
from e2e.cluster.kind import KindCluster
from e2e.cluster.local import LocalNode, check_machine
from e2e.cluster.packages import BUILD_PACKAGES, NODE_PACKAGES, ensure_packages
from e2e.cluster.places import State
from e2e.cluster.progress import ClusterError, Progress
from e2e.images import programs
from e2e.images.programs import MissingProgramError, debian_program, python, uv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

README: Final = (Path(__file__).parents[1] / "README.md").read_text()
STATE: Final = State(Path("/state"))
OLD_GO: Final = {"go": "echo go1.19.8"}
NO_PYTHON: Final = {"uv": "exit 2"}
DEBIAN: Final = {"apt-get": "exit 0"}
DEBIAN_WITHOUT_A_MIRROR: Final = {"apt-get": "exit 100"}

WANTED: Final[list[tuple[Callable[[], object], str, Mapping[str, str]]]] = [
    (uv, "install uv (https://docs.astral.sh/uv/)", {}),
    (lambda: python("3.99"), "python install 3.99`", NO_PYTHON),
    (lambda: debian_program("mmdebstrap", "mmdebstrap"), "`sudo apt install mmdebstrap`", {}),
    (lambda: debian_program("mmdebstrap", "mmdebstrap"), "`sudo apt install mmdebstrap`", DEBIAN_WITHOUT_A_MIRROR),
    (lambda: debian_program("gcc", "gcc"), "`sudo apt install gcc`", DEBIAN),
    (find_go, "install Go 1.26 from https://go.dev/dl", {}),
    (find_go, "install Go 1.26 from https://go.dev/dl", OLD_GO),
    (lambda: check_machine(STATE), "install util-linux", {}),
    (lambda: ensure_packages({"nftables": ()}, Progress()), "as root: nftables.", {}),
    (lambda: ensure_packages({"nftables": ()}, Progress()), "as root: nftables.", DEBIAN_WITHOUT_A_MIRROR),
    (KindCluster(STATE, "docker").runs, "install kind (https://kind.sigs.k8s.io)", {}),
]


@dataclass(frozen=True, slots=True)
class Machine:
    """On which nothing is found but what a test installs."""

    programs: Path

    def install(self, scripts: Mapping[str, str]) -> None:
        """Name to shell script; each keeps how it was called."""
        for name, script in scripts.items():
            (self.programs / name).write_text(f'#!/bin/sh\necho "$*" >>{self.calls}\n{script}\n')
            (self.programs / name).chmod(0o755)

    @property
    def calls(self) -> Path:
        return self.programs / "calls"

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Its user is root."""
    folder = tmp_path / "bin"
    folder.mkdir()
    look = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **_: look(Path(name).name, path=str(folder)))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs, "REPOSITORY", tmp_path)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("UV", raising=False)
    return Machine(folder)


@pytest.mark.parametrize(("wanted", "sentence", "has"), WANTED)
def test_the_sentence_says_what_to_install(
    machine: Machine, wanted: Callable[[], object], sentence: str, has: Mapping[str, str]
) -> None:
    machine.install(has)
    with pytest.raises((MissingProgramError, ClusterError)) as raised:
        wanted()
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (lambda: debian_program("mmdebstrap", "mmdebstrap"), "`sudo apt install mmdebstrap`"),
        (lambda: ensure_packages({"nftables": (), "iproute2": ()}, Progress()), "as root: nftables iproute2."),
        (lambda: check_machine(STATE), "run as root, or install kind and start a container engine."),
        (lambda: LocalNode(STATE).up(Progress()), "run as root, or install kind and start a container engine."),
    ],
)
def test_who_is_not_root_is_told_and_nothing_is_tried(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, wanted: Callable[[], object], sentence: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    machine.install({**DEBIAN, "mount": "exit 0"})
    with pytest.raises((MissingProgramError, ClusterError)) as raised:
        wanted()
    assert sentence in str(raised.value)
    assert machine.called() == []
    assert not STATE.root.exists()


def test_root_gets_it_installed(machine: Machine) -> None:
    gcc = machine.programs / "gcc"
    machine.install({"apt-get": f'case "$*" in *"install"*gcc) : >{gcc}; /bin/chmod +x {gcc} ;; esac'})
    assert debian_program("gcc", "gcc") == str(gcc)
    ensure_packages({"nftables": ()}, Progress())
    assert "nftables" in machine.called()[-1]


@pytest.mark.parametrize("package", sorted({*NODE_PACKAGES, *BUILD_PACKAGES, "mmdebstrap", "python3-venv", "gcc"}))
def test_the_readme_names_it_too(package: str) -> None:
    assert f"`{package}`" in README
