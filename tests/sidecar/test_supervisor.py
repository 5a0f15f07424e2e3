"""The first process, with real processes: what ends the container and what does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_watchdog import orders
from llm_watchdog import supervisor as module
from llm_watchdog.api import names
from llm_watchdog.api.names import RESTART_EXIT_CODE
from llm_watchdog.supervisor import ENV_JOURNAL_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDECAR = Path(__file__).parent.parent.parent / "sidecar"


class Container:
    """A supervisor over a child script; the script appends a line to `starts` each time."""

    def __init__(self, directory: Path, script: str, *, impatient: bool = False) -> None:
        self.directory = directory
        self.starts = directory / "starts"
        child = directory / "child.py"
        child.write_text(f"import os, sys, time, signal\nopen({str(self.starts)!r}, 'a').write('x')\n{script}\n")
        # -S: the image has no site directory with start-up files either.
        with (directory / "log").open("a") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-S", *(("-c", IMPATIENT) if impatient else ("-m", "llm_watchdog.supervisor"))),
                    *(sys.executable, "-S", str(child)),
                ],
                env={**os.environ, "PYTHONPATH": str(SIDECAR), ENV_JOURNAL_DIR: str(directory)},
                stdout=log,
            )

    def child(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def started(self) -> int:
        return len(self.starts.read_text()) if self.starts.exists() else 0

    def until_started(self, times: int) -> None:
        while self.started() < times:
            assert self.process.poll() is None, "the container has ended"
            time.sleep(0.02)

    def end(self) -> str:
        self.process.terminate()
        self.process.wait(timeout=20)
        return (self.directory / "log").read_text()


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[list[Container]]:
    started: list[Container] = []
    yield started
    for container in started:
        container.end()


IMPATIENT = (
    "import sys; from llm_watchdog import supervisor as s;"
    "s.FIRST_BEAT_SECONDS = s.SILENCE_SECONDS = 0.6; s.TICK_SECONDS = 0.2; sys.exit(s.main())"
)
BEATS = (
    "import llm_watchdog.pulse as p; p.BEAT_SECONDS = 0; pulse = p.inherited(os.environ)\n"
    "while True:\n    pulse.beat(); time.sleep(0.05)"
)


def test_a_child_that_stands_still_is_ended_and_started_again(tmp_path: Path, containers: list[Container]) -> None:
    container = Container(tmp_path, BEATS, impatient=True)
    containers.append(container)
    container.until_started(1)
    os.kill(container.child(), signal.SIGSTOP)
    container.until_started(2)
    assert "has made no pass" in container.end()
    assert container.process.returncode == 0


def test_a_child_that_never_beats_is_ended(tmp_path: Path, containers: list[Container]) -> None:
    container = Container(tmp_path, "time.sleep(600)", impatient=True)
    containers.append(container)
    container.until_started(2)


def test_a_child_that_beats_is_left_alone(tmp_path: Path, containers: list[Container]) -> None:
    container = Container(tmp_path, BEATS, impatient=True)
    containers.append(container)
    container.until_started(1)
    child = container.child()
    time.sleep(2.0)
    assert (container.started(), container.child()) == (1, child)


def test_what_a_child_leaves_behind_does_not_keep_the_container_alive(
    tmp_path: Path, containers: list[Container]
) -> None:
    """A grandchild that holds the pipe open: the child's end is seen all the same."""
    script = "import subprocess\nsubprocess.Popen(['sleep', '3'], close_fds=False)\nsys.exit(3)"
    container = Container(tmp_path, script, impatient=True)
    containers.append(container)
    container.until_started(2)


@pytest.mark.parametrize("script", ["sys.exit(1)", "os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(0)"])
def test_a_child_that_ends_is_started_again(tmp_path: Path, containers: list[Container], script: str) -> None:
    container = Container(tmp_path, script)
    containers.append(container)
    container.until_started(3)
    assert "starting it again" in container.end()
    assert container.process.returncode == 0


def test_sigterm_reaches_the_child_and_ends_the_container(tmp_path: Path, containers: list[Container]) -> None:
    marker = tmp_path / "stopped"
    script = (
        f"def stop(*_):\n    open({str(marker)!r}, 'w').close()\n    sys.exit(0)\n"
        f"signal.signal(signal.SIGTERM, stop)\nopen({str(tmp_path / 'ready')!r}, 'w').close()\ntime.sleep(600)"
    )
    container = Container(tmp_path, script)
    containers.append(container)
    while not (tmp_path / "ready").exists():
        time.sleep(0.02)
    container.end()
    assert marker.exists()
    assert container.process.returncode == 0
    assert container.started() == 1


def test_exit_code_88_without_an_order_is_a_crash_like_any_other(tmp_path: Path, containers: list[Container]) -> None:
    container = Container(tmp_path, f"sys.exit({RESTART_EXIT_CODE})")
    containers.append(container)
    container.until_started(3)
    assert "there is no order" in container.end()


def test_an_order_is_passed_on_once(tmp_path: Path, containers: list[Container]) -> None:
    orders.give(str(tmp_path), "restart-1", time.time())
    script = f"time.sleep(0.1)\nsys.exit({RESTART_EXIT_CODE})"
    first = Container(tmp_path, script)
    containers.append(first)
    assert first.process.wait(timeout=20) == RESTART_EXIT_CODE
    assert first.started() == 1
    assert orders.answer(str(tmp_path)) == ("restart-1", "")
    # The container starts anew, and a child that insists gets nowhere, not even by giving the same order again.
    orders.give(str(tmp_path), "restart-1", time.time())
    second = Container(tmp_path, script)
    containers.append(second)
    second.until_started(4)
    assert "was honoured before" in second.end()
    assert [name for name, _ in orders.honoured(str(tmp_path))] == ["restart-1"]


def test_orphans_are_buried(tmp_path: Path, containers: list[Container]) -> None:
    """As first process it inherits them; elsewhere it at least does not mistake one for its child."""
    container = Container(tmp_path, "os.system('sleep 0.01 &')\ntime.sleep(0.05)\nsys.exit(1)")
    containers.append(container)
    container.until_started(3)
    container.end()


def test_its_copies_of_the_shared_names_are_right() -> None:
    assert module.JOURNAL_DIR == names.JOURNAL_DIR
    assert module.RESTART_EXIT_CODE == names.RESTART_EXIT_CODE


def test_it_stays_small(tmp_path: Path, containers: list[Container]) -> None:
    container = Container(tmp_path, "time.sleep(600)")
    containers.append(container)
    container.until_started(1)
    status = Path(f"/proc/{container.process.pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    # Debian's Python, which the image has, takes 9.3 MiB; others take up to 1 MiB more.
    assert int(resident.split()[1]) <= 11 * 1024
