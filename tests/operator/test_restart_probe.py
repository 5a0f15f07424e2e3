"""The probe script, run by the shells that engines' images have."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from llmworker_operator.builders.restart_probe import REQUEST, SCRIPT, restart_probe
from llmworker_operator.domain.replica import is_restart_probe

SHELLS = [shell for shell in (["dash"], ["bash"], ["busybox", "sh"]) if shutil.which(shell[0])]


def boot_clock() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 100)


def alive(shell: list[str], folder: Path, request: str | None, *, process: int) -> bool:
    """`process` is when the engine's first process was started; its name is as nasty as it can be."""
    asked, stat = folder / "request", folder / "stat"
    if request is not None:
        asked.write_text(request)
    stat.write_text(f"1 (a) b (c d)) S {' '.join(['0'] * 18)} {process} 1 2 3\n")
    script = SCRIPT.replace(REQUEST, str(asked)).replace("/proc/1/stat", str(stat))
    return subprocess.run([*shell, "-c", script], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("shell", SHELLS, ids=lambda s: s[0])
@pytest.mark.parametrize(
    ("request_text", "process", "expected"),
    [
        pytest.param(None, 100, True, id="no request"),
        pytest.param("500\n", 100, False, id="younger than the engine"),
        pytest.param("100\n", 500, True, id="older than the engine"),
        pytest.param("500\n", 500, True, id="of the same instant"),
        pytest.param("500", 100, True, id="still being written"),
        pytest.param("", 100, True, id="empty"),
        pytest.param("soon\n", 100, True, id="no number"),
    ],
)
def test_fails_only_for_a_request_younger_than_the_engine(
    shell: list[str], tmp_path: Path, request_text: str | None, process: int, *, expected: bool
) -> None:
    assert alive(shell, tmp_path, request_text, process=process) is expected


def test_the_kernel_counts_a_process_start_on_the_same_clock() -> None:
    before = boot_clock()
    with subprocess.Popen(["sleep", "9"]) as child:
        started = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(") ")[2].split()[19])
        child.kill()
    assert before - 2 <= started <= boot_clock() + 2


def test_ours_is_told_from_a_users() -> None:
    assert is_restart_probe(restart_probe())
    assert not is_restart_probe({"exec": {"command": ["cat", "/alive"]}})
    assert not is_restart_probe({"httpGet": {"path": "/health", "port": 8000}})
    assert not is_restart_probe({})


def test_its_numbers_kill_no_busy_engine() -> None:
    probe = restart_probe()
    assert probe["failureThreshold"] >= 3
    assert probe["timeoutSeconds"] >= 10
    assert probe["terminationGracePeriodSeconds"] <= 5
