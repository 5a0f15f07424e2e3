"""uv, with which all begins: what its virtual environment needs is installed for root, and named to everybody else."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

GET_UV: Final = Path(__file__).parents[1] / ".ci" / "get-uv"
INSTALL: Final = "install --yes --no-install-recommends python3-venv"
REMEDY: Final = (
    "install the package python3-venv (Debian, Ubuntu: `sudo apt install python3-venv`), or put uv on the PATH"
)

PYTHON: Final = """
case "$1 $2" in
  "-c import ensurepip, venv") [ -e "$0.venv" ] ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") echo "$*" >"${0%/*}/uv" ;;
esac
"""
"""Makes virtual environments once a file `python3.venv` lies beside it, and has pip in them."""
APT: Final = 'case "$*" in *python3-venv) : >"${0%/*}/python3.venv" ;; esac'
OFFLINE_APT: Final = "exit 100"


@dataclass(frozen=True, slots=True)
class Machine:
    """On which nothing is found but a Python, a few tools, and what a test installs."""

    programs: Path

    def install(self, name: str, script: str) -> None:
        (self.programs / name).write_text(f'#!/bin/sh\necho "$*" >>"$0.calls"\n{script}\n')
        (self.programs / name).chmod(0o755)

    def get_uv(self, *, user: int) -> subprocess.CompletedProcess[str]:
        self.install("id", f"echo {user}")
        command = [str(GET_UV), "1.2.3", str(self.uv.parents[1])]
        return subprocess.run(command, env={"PATH": str(self.programs)}, capture_output=True, text=True, check=False)

    @property
    def uv(self) -> Path:
        return self.programs.parent / "tools" / "bin" / "uv"

    def installed(self) -> list[str]:
        """What apt-get was asked for, without its options."""
        calls = self.programs / "apt-get.calls"
        told = calls.read_text().splitlines() if calls.exists() else []
        return [line.partition("Timeout=120 ")[2] for line in told]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "bin")
    machine.programs.mkdir()
    for name in ("mkdir", "cp", "ln"):
        (machine.programs / name).symlink_to(shutil.which(name) or name)
    machine.install("python3", PYTHON)
    return machine


@pytest.mark.parametrize("user", [0, 1000])
def test_where_python_can_make_one_nothing_is_installed(machine: Machine, user: int) -> None:
    (machine.programs / "python3.venv").touch()
    machine.install("apt-get", APT)
    machine.install("uv", "")
    assert machine.get_uv(user=user).returncode == 0
    assert machine.uv.read_text().endswith(" uv==1.2.3\n")
    assert machine.installed() == []


def test_root_gets_what_is_missing_installed(machine: Machine) -> None:
    machine.install("apt-get", APT)
    assert machine.get_uv(user=0).returncode == 0
    assert machine.uv.read_text().endswith(" uv==1.2.3\n")
    assert machine.installed() == ["update", INSTALL]


@pytest.mark.parametrize(("user", "apt", "tried"), [(1000, APT, []), (0, OFFLINE_APT, ["update"]), (0, None, [])])
def test_everybody_else_is_told_what_to_install(machine: Machine, user: int, apt: str | None, tried: list[str]) -> None:
    if apt is not None:
        machine.install("apt-get", apt)
    told = machine.get_uv(user=user)
    assert told.returncode == 1
    assert told.stderr.startswith("error: python3 has no ensurepip: ")
    assert REMEDY in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert machine.installed() == tried
    assert not machine.uv.parents[1].exists()


def test_a_uv_on_the_path_will_do(machine: Machine) -> None:
    machine.install("uv", "")
    assert machine.get_uv(user=1000).returncode == 0
    assert machine.uv.resolve() == machine.programs / "uv"


def test_without_any_python_the_sentence_is_the_same(machine: Machine) -> None:
    (machine.programs / "python3").unlink()
    told = machine.get_uv(user=1000)
    assert told.returncode == 1
    assert REMEDY in told.stderr
