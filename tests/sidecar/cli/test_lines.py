"""The JSON lines of an incident, whatever happens to it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from llm_watchdog.api.reasons import Mode, Outcome, Phase, RestartMethod, StepOutcome, UnknownReason
from llm_watchdog.core.replica import Replica
from llm_watchdog.core.situation import Modes, OrderAnswer, OrderState
from llm_watchdog.recorder.lines import LineWriter
from tests.sidecar.cli.host import ENVIRONMENT, KEYS
from tests.sidecar.situations import NEW, World

if TYPE_CHECKING:
    from collections.abc import Callable

OUTCOMES = {None, *(outcome.value for outcome in Outcome)}
STEP_OUTCOMES = {None, *(outcome.value for outcome in StepOutcome)}


class Told:
    """A world whose every pass is told."""

    def __init__(self, **facts: Any) -> None:
        self.world = World(facts=facts)
        self._stream = io.StringIO()
        self._writer = LineWriter(self._stream, lambda: self.world.now)
        self._before = self.world.replica

    def does(self, what: Callable[[World], object]) -> None:
        what(self.world)
        self._writer.tell(self._before, self.world.replica)
        self._before = self.world.replica

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


def test_a_step_that_is_not_available_never_begins() -> None:
    told = Told(restart_method=RestartMethod.UNAVAILABLE)
    told.does(lambda world: world.settle().healthy())
    told.does(lambda world: world.sick())
    assert [(line["step"], line["stepOutcome"]) for line in told.lines if line["step"]] == [
        ("Drain", None),
        ("Drain", "Succeeded"),
        ("Restart", "Unavailable"),
        ("ReplacePod", "Unavailable"),
        ("Quarantine", None),
        ("Quarantine", "Succeeded"),
    ]
    assert (told.lines[-1]["phase"], told.lines[-1]["outcome"]) == ("Closed", "Quarantined")


def test_a_flush_after_a_wake_belongs_to_no_incident() -> None:
    told = Told(can_flush=True)
    told.does(lambda world: world.settle().healthy().unknown(UnknownReason.ASLEEP))
    told.does(lambda world: world.unknown(UnknownReason.STARTING))
    told.does(lambda world: world.settle(flush=OrderAnswer(state=OrderState.HONOURED, message="flushed")).healthy())
    told.does(lambda world: world.healthy())
    assert [(line["step"], line["stepOutcome"]) for line in told.lines] == [
        ("FlushCache", None),
        ("FlushCache", "Succeeded"),
    ]
    for line in told.lines:
        assert line.keys() == set(KEYS)
        assert {line[key] for key in ("incident", "fault", "reason", "phase", "outcome")} == {None}


def test_under_observe_it_is_one_line() -> None:
    told = Told(can_flush=True, modes=Modes(mode=Mode.OBSERVE))
    told.does(lambda world: world.settle().healthy().unknown(UnknownReason.ASLEEP))
    told.does(lambda world: world.unknown(UnknownReason.STARTING).healthy())
    assert [(line["step"], line["stepOutcome"]) for line in told.lines] == [("FlushCache", "DryRun")]


def test_what_a_resumed_process_knows_is_not_told_again() -> None:
    told = Told()
    told.does(lambda world: world.settle().healthy().sick())
    stream = io.StringIO()
    LineWriter(stream, lambda: told.world.now).tell(told.world.replica, told.world.replica)
    assert stream.getvalue() == ""


def test_a_reader_that_is_gone_costs_lines_only() -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    world = World().settle().healthy().sick()
    LineWriter(Gone(), lambda: world.now).tell(Replica(), world.replica)


def test_a_reader_that_is_gone_does_not_change_the_exit_code() -> None:
    program = (
        "import sys; from llm_watchdog.recorder.lines import LineWriter;"
        "from llm_watchdog.core.replica import Replica;"
        "from tests.sidecar.situations import World; world = World().settle().healthy().sick();"
        "LineWriter(sys.stdout, lambda: world.now).tell(Replica(), world.replica)"
    )
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"nobody reads standard output any more: [Errno 32] Broken pipe\n")


EVENTS: dict[str, Callable[[World], object]] = {
    "sick": lambda world: world.sick(),
    "loud": lambda world: world.sick(silent=False),
    "healthy": lambda world: world.healthy(),
    "unknown": lambda world: world.unknown(),
    "look": lambda world: world.look(),
    "later": lambda world: world.look(120.0),
    "grant": lambda world: world.grant() if world.replica.cases else world,
    "claimed": lambda world: world.claimed() if world.replica.cases and world.case.name in world.views else world,
    "new engine": lambda world: world.settle(engine=NEW),
    "observe": lambda world: world.settle(modes=Modes(mode=Mode.OBSERVE)),
    "enforce": lambda world: world.settle(modes=Modes()),
    "released": lambda world: world.settle(release=str(world.at)),
}


@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=25))
def test_whatever_happens_the_lines_keep_their_contract(events: list[str]) -> None:
    told = Told()
    told.does(lambda world: world.settle().healthy())
    for event in events:
        told.does(EVENTS[event])
    by_incident: dict[str, list[dict[str, Any]]] = {}
    for line in told.lines:
        assert list(line) == KEYS
        assert line["outcome"] in OUTCOMES
        assert line["stepOutcome"] in STEP_OUTCOMES
        assert datetime.fromisoformat(line["time"]).tzinfo == UTC
        by_incident.setdefault(line["incident"], []).append(line)
    for lines in by_incident.values():
        first, *others = lines
        assert (first["phase"], first["outcome"], first["step"], first["stepOutcome"]) == ("Open", None, None, None)
        assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
        assert all((line["outcome"] is not None) == (line["phase"] == Phase.CLOSED) for line in lines)
        assert Phase.CLOSED not in [line["phase"] for line in lines[:-1]]
        assert len([line for line in others if line["stepOutcome"] == StepOutcome.DRY_RUN]) <= 1
    closed = {name for name, lines in by_incident.items() if lines[-1]["phase"] == Phase.CLOSED}
    for case in told.world.replica.cases:
        assert case.closed == (case.name in closed)
