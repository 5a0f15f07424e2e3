"""A slow start is told and not failed; what was told is told again at the end of a run."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.cluster.__main__ import run_on
from e2e.cluster.access import ApiAccess
from e2e.cluster.local import LocalNode
from e2e.cluster.places import State
from e2e.cluster.progress import ClusterError, Progress
from e2e.cluster.readiness import last_start, timed_start, told

SLOW = "warning: node Ready after 40.1 s, a warm one should be within 40 s (the machine may be busy)"


@pytest.fixture
def state() -> Iterator[State]:
    """Its path is short, as a node's has to be."""
    state = State(Path(tempfile.mkdtemp(prefix="llmw-")))
    state.logs.mkdir()
    yield state
    shutil.rmtree(state.root)


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [(9.96, "node Ready after 10.0 s"), (40.0, "node Ready after 40.0 s"), (40.1, SLOW)],
)
def test_a_start_is_told_and_kept(
    state: State, capsys: pytest.CaptureFixture[str], seconds: float, sentence: str
) -> None:
    instants = iter([100.0, 100.0 + seconds])
    with timed_start(state, Progress(), clock=lambda: next(instants)):
        pass
    assert capsys.readouterr().err.rstrip().endswith(f"] {sentence}")
    assert json.loads(state.readiness.read_text()) == {"readySeconds": round(seconds, 1), "warmSeconds": 40.0}
    assert last_start(state) == sentence == told(seconds)


def test_a_start_that_failed_is_none(state: State) -> None:
    with pytest.raises(ClusterError), timed_start(state, Progress()):
        raise ClusterError("no etcd")
    assert last_start(state) is None


@dataclass(frozen=True)
class SlowNode(LocalNode):
    """Of a made-up start."""

    ran_before: bool = False

    def up(self, progress: Progress) -> ApiAccess:
        if not self.ran_before:
            instants = iter([0.0, 40.1])
            with timed_start(self.state, progress, clock=lambda: next(instants)):
                pass
        return ApiAccess(self.state.kubeconfig, "", Path(), Path())

    def down(self, progress: Progress) -> None:
        progress.say("down")

    def runs(self) -> bool:
        return self.ran_before


@pytest.mark.parametrize("code", [0, 3])
def test_a_run_that_started_a_slow_node_ends_with_the_warning_and_the_commands_own_code(
    state: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert run_on(SlowNode(state), [sys.executable, "-c", f"raise SystemExit({code})"], Progress()) == code
    start, down, end = [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]
    assert (start, down, end) == (SLOW, "down", SLOW)


def test_of_a_node_that_ran_before_a_run_tells_nothing(
    state: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert run_on(SlowNode(state, ran_before=True), ["true"], Progress()) == 0
    assert capsys.readouterr().err == ""
