"""What the kubelet says of the engine's container, as a table: what fails a restart, and what does not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from llm_watchdog.core.case import EngineMark
from llm_watchdog.core.container import (
    CRASH_LOOP,
    OOM_KILLED,
    ContainerEnd,
    EngineContainer,
    is_held_back,
    start_failure,
)
from tests.sidecar.situations import START

BEFORE = EngineMark(container_id="containerd://old", listener=11)
NOWHERE = EngineMark(listener=11)


def ended(run: str, after: float | None, reason: str = "Error", *, waiting: str = "") -> EngineContainer:
    at = None if after is None else START + timedelta(seconds=after)
    return EngineContainer(waiting=waiting, ended=ContainerEnd(container_id=run, reason=reason, exit_code=1, at=at))


@pytest.mark.parametrize(
    ("container", "before", "fails"),
    [
        (None, BEFORE, False),
        (EngineContainer(), BEFORE, False),
        (EngineContainer(waiting=CRASH_LOOP), BEFORE, False),
        (EngineContainer(waiting="ContainerCreating"), BEFORE, False),
        (ended("containerd://new", 5, OOM_KILLED), BEFORE, True),
        (ended("containerd://new", 5, waiting=CRASH_LOOP), BEFORE, True),
        (ended("containerd://new", 5, "", waiting=CRASH_LOOP), BEFORE, True),
        # It has ended once and was started again at once: a canary tells how it is.
        (ended("containerd://new", 5), BEFORE, False),
        (ended("containerd://new", 5, "Completed"), BEFORE, False),
        (ended("containerd://new", 5, waiting="ImagePullBackOff"), BEFORE, False),
        # Our own order ended it.
        (ended("containerd://old", 2, OOM_KILLED), BEFORE, False),
        (ended("containerd://old", 2, waiting=CRASH_LOOP), BEFORE, False),
        # Before the order, which may be what the incident is about.
        (ended("containerd://older", -60, OOM_KILLED), BEFORE, False),
        (ended("containerd://older", 0, OOM_KILLED, waiting=CRASH_LOOP), BEFORE, False),
        # Which engine ended, or when, is not known.
        (ended("containerd://new", 5, OOM_KILLED), NOWHERE, False),
        (ended("", 5, OOM_KILLED), BEFORE, False),
        (ended("containerd://new", None, OOM_KILLED), BEFORE, False),
    ],
)
def test_what_fails_a_restart(container: EngineContainer | None, before: EngineMark, fails: bool) -> None:  # noqa: FBT001
    said = start_failure(container, before, START)
    assert bool(said) is fails
    assert (OOM_KILLED in said or CRASH_LOOP in said) is fails


@pytest.mark.parametrize(
    ("container", "before", "held"),
    [
        (None, BEFORE, False),
        (EngineContainer(waiting=CRASH_LOOP), BEFORE, False),
        (ended("containerd://old", 2, waiting=CRASH_LOOP), BEFORE, True),
        (ended("containerd://old", 2), BEFORE, False),
        (ended("containerd://new", 2, waiting=CRASH_LOOP), BEFORE, False),
        (ended("containerd://old", 2, waiting=CRASH_LOOP), NOWHERE, False),
    ],
)
def test_when_the_kubelet_holds_the_new_engine_back(
    container: EngineContainer | None,
    before: EngineMark,
    held: bool,  # noqa: FBT001
) -> None:
    assert is_held_back(container, before) is held
