"""The runner and its ledger, with sleeping programs: nothing outlives it, and no foreign process is ever ended."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster.control import Control
from e2e.cluster.ledger import RUNNER, Entry, entry_of, read_ledger, start_time, write_ledger
from e2e.cluster.places import State
from e2e.cluster.progress import ClusterError, wait_until
from e2e.cluster.teardown import mounts_below

SLEEP = ["/bin/sleep", "3600"]


@pytest.fixture
def control() -> Iterator[Control]:
    with tempfile.TemporaryDirectory(prefix="llmw-") as folder:
        control = Control(State(Path(folder)))
        runner = control.spawn(follow=True)
        yield control
        runner.terminate()
        runner.wait()


def gone(pid: int) -> None:
    wait_until(f"the end of {pid}", lambda: start_time(pid) is None, seconds=20, every=0.01)


def test_programs_start_stop_and_start_again(control: Control) -> None:
    control.start("sleeper", SLEEP)
    first = control.running()["sleeper"]
    assert control.stop("sleeper")
    assert start_time(first) is None
    assert control.running() == {}
    assert not control.stop("sleeper")
    control.start_again("sleeper")
    assert control.running()["sleeper"] != first


def test_a_program_runs_once(control: Control) -> None:
    control.start("sleeper", SLEEP)
    with pytest.raises(ClusterError, match="runs already"):
        control.start("sleeper", SLEEP)


def test_environment_is_added(control: Control) -> None:
    control.start("teller", ["/bin/sh", "-c", 'echo "$LLMW_TOLD"; exit 3'], {"LLMW_TOLD": "hello"})
    wait_until("the end", lambda: control.ended("teller") is not None, seconds=20, every=0.01)
    told = control.ended("teller")
    assert told is not None
    assert "teller ended with 3" in told
    assert told.endswith("hello")


def test_ledger_names_what_runs(control: Control) -> None:
    control.start("sleeper", SLEEP)
    assert {entry.name for entry in read_ledger(control.state.ledger)} == {RUNNER, "sleeper"}
    assert all(entry.alive for entry in read_ledger(control.state.ledger))
    control.stop("sleeper")
    assert {entry.name for entry in read_ledger(control.state.ledger)} == {RUNNER}


def test_nothing_outlives_a_runner_that_was_killed(control: Control) -> None:
    control.start("sleeper", SLEEP)
    sleeper = control.running()["sleeper"]
    runner = next(entry for entry in read_ledger(control.state.ledger) if entry.name == RUNNER)
    os.kill(runner.pid, signal.SIGKILL)
    gone(sleeper)
    assert not control.alive()


def test_an_order_without_a_runner_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="start the cluster first"):
        Control(State(Path("/nowhere"))).running()


def test_a_reused_pid_is_not_ours() -> None:
    with subprocess.Popen(SLEEP) as foreign:
        Entry("sleeper", foreign.pid, (start_time(foreign.pid) or 0) - 1).kill()
        assert foreign.poll() is None
        entry_of("sleeper", foreign.pid).kill()
        assert foreign.wait() == -signal.SIGKILL


def test_ledger_survives_a_round(tmp_path: Path) -> None:
    entries = [Entry("runner", 1, 2), Entry("etcd", 3, 4)]
    write_ledger(tmp_path / "ledger.json", entries)
    assert read_ledger(tmp_path / "ledger.json") == entries
    assert read_ledger(tmp_path / "absent.json") == []


def test_mounts_are_undone_from_the_inside_and_volumes_are_spared() -> None:
    state = State(Path("/s"))
    lines = [
        "20 1 0:1 / /s/kubelet/pods/a rw - tmpfs tmpfs rw",
        r"21 20 0:1 / /s/kubelet/pods/a/with\040space rw - tmpfs tmpfs rw",
        "22 1 0:1 / /s/volumes/vllm rw - ext4 /dev/x rw",
        "23 1 0:1 / /s/kubelet-of-others rw - tmpfs tmpfs rw",
        "24 1 0:1 / /somewhere rw - tmpfs tmpfs rw",
    ]
    found = mounts_below(state.throwaway, "\n".join(lines))
    assert found == ["/s/kubelet/pods/a/with space", "/s/kubelet/pods/a"]
