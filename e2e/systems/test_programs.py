"""Programs end with their block, with their whole group, and when the test process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.systems.environments import REQUIREMENTS, names
from e2e.systems.programs import NotUpError, Program

FAMILY = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
OWNER = """
import os, pathlib, sys
from e2e.systems.programs import Program
Program("family", [sys.executable, "-c", sys.argv[1]], pathlib.Path(sys.argv[2])).start()
print("started", flush=True)
sys.stdin.read()
"""
TIDY_OWNER = """
import pathlib, sys
from e2e.systems import programs
with programs.Program("tidy", [sys.executable, "-c", ""], pathlib.Path(sys.argv[1])):
    print(programs._guard().pid)
"""


def python(folder: Path, script: str) -> Program:
    return Program("program", [sys.executable, "-c", script], folder)


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()  # one that nobody has reaped yet is gone for us
    except FileNotFoundError:
        return False


def child_in(log: Path) -> int:
    while not log.exists() or not log.read_text().endswith("\n"):
        time.sleep(0.02)
    return int(log.read_text())


def test_a_programs_children_end_with_its_block(tmp_path: Path) -> None:
    with python(tmp_path, FAMILY) as program:
        pid, child = program.pid, child_in(program.log)
        assert alive(child)
    wait_gone(pid)
    wait_gone(child)


def test_what_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    with python(tmp_path, script) as program:
        pid = program.pid
        child_in(program.log)
    wait_gone(pid)


def test_a_stopped_program_is_ended_too(tmp_path: Path) -> None:
    with python(tmp_path, FAMILY) as program:
        pid, child = program.pid, child_in(program.log)
        program.signal(signal.SIGSTOP)
    wait_gone(pid)
    wait_gone(child)


def test_a_killed_test_process_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, FAMILY, str(tmp_path)]
    owner = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"started\n"
        child = child_in(tmp_path / "family.log")
        assert alive(child)
        owner.kill()
    wait_gone(child)


def test_the_guard_ends_with_its_owner_and_not_with_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "default::ResourceWarning", "-c", TIDY_OWNER, str(tmp_path)]
    ended = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}, check=True, timeout=60
    )
    assert "ResourceWarning" not in ended.stderr
    wait_gone(int(ended.stdout))


def test_a_program_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    with python(tmp_path, "print('no port'); raise SystemExit(3)") as program, pytest.raises(NotUpError) as raised:
        program.wait_up(lambda: False, seconds=60)
    assert "ended with 3" in str(raised.value)
    assert "no port" in str(raised.value)


def test_it_can_be_started_again(tmp_path: Path) -> None:
    with python(tmp_path, FAMILY) as program:
        first = program.pid
        program.stop()
        assert program.code is None
        program.start()
        assert program.pid != first
        assert alive(program.pid)


def test_each_systems_requirements_are_locked_to_what_they_ask_for() -> None:
    assert names()
    for name in names():
        asked = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
        locked = (REQUIREMENTS / f"{name}.lock.txt").read_text().splitlines()
        pins = {line.partition("[")[0].partition("==")[0]: line.partition("==")[2] for line in asked if "==" in line}
        assert pins
        for package, version in pins.items():
            assert any(line.startswith(f"{package}=={version} ") for line in locked), f"{name}: {package}=={version}"
