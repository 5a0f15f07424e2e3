"""Every fault gets an incident of its class and is cured; what is no fault gets none. `make e2e-matrix`, or `-k`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from e2e.matrix.scenes import Case, End, Put, cases
from e2e.matrix.stage import Engine, until, watched
from e2e.systems.watchdog import Supervisor, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Record = Callable[[str, object], None]

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(1200)]

READY_SECONDS: Final = 180.0
FOUND_SECONDS: Final = 240.0
"""Two rounds of checks, or two minutes of tokens for nobody."""
CLOSED_SECONDS: Final = 240.0
QUIET_SECONDS: Final = 120.0
"""Longer than the slow deadline of a restart."""

ALL: Final = cases()


def named(case: Case) -> str:
    return f"{case.dialect}-{case.fault}"


@pytest.mark.parametrize("case", [case for case in ALL if case.right and case.scene.end is not End.FLUSHED], ids=named)
def test_found_and_cured(case: Case, tmp_path: Path, record_property: Record) -> None:
    record_property("case", named(case))
    record_property("expected", " or ".join(sorted(case.right)))
    with (
        Engine(case, tmp_path) as engine,
        Supervisor(engine.restart) as supervisor,
        Watchdog(watched(case, engine), tmp_path, supervisor) as watchdog,
    ):
        began = play(case, engine, watchdog)
        found = until(lambda: bool(incidents(watchdog)), FOUND_SECONDS - (time.monotonic() - began))
        assert found, f"not seen\n{told(watchdog, engine)}"
        record_property("seconds", round(time.monotonic() - began, 1))
        first = incidents(watchdog)[0]
        record_property("found", f"{first['fault']}/{first['reason']}")
        if case.scene.end is End.HEALED:
            engine.lift()
        if case.scene.end is not End.LATE:
            end(case, engine, watchdog, record_property, began)
        assert {line["fault"] for line in incidents(watchdog)} <= case.right, told(watchdog, engine)
        assert all(line["reason"] and line["message"] for line in incidents(watchdog))


def end(case: Case, engine: Engine, watchdog: Watchdog, record_property: Record, began: float) -> None:
    """Every incident comes to its end, as this one should."""
    closed = until(lambda: not still_open(watchdog), CLOSED_SECONDS)
    record_property("closed", round(time.monotonic() - began, 1))
    record_property("outcome", ", ".join(sorted(outcomes(watchdog))))
    assert closed, f"still open\n{told(watchdog, engine)}"
    # The restart for one incident ends the others of the same cause, for which none had begun.
    others = {End.HEALED.value} if len({line["incident"] for line in incidents(watchdog)}) > 1 else set()
    assert case.scene.end.value in outcomes(watchdog) <= {case.scene.end.value} | others, told(watchdog, engine)
    if case.scene.end is not End.QUARANTINED:
        assert until(watchdog.is_ready, READY_SECONDS), told(watchdog, engine)


@pytest.mark.parametrize("case", [case for case in ALL if case.scene.end is End.FLUSHED], ids=named)
def test_cured_before_it_shows(case: Case, tmp_path: Path, record_property: Record) -> None:
    record_property("case", named(case))
    record_property("expected", "none, by a flush")
    with (
        Engine(case, tmp_path) as engine,
        Supervisor(engine.restart) as supervisor,
        Watchdog(watched(case, engine), tmp_path, supervisor) as watchdog,
    ):
        began = play(case, engine, watchdog)
        assert until(lambda: flushed(watchdog), FOUND_SECONDS), told(watchdog, engine)
        record_property("seconds", round(time.monotonic() - began, 1))
        assert until(watchdog.is_ready, READY_SECONDS), told(watchdog, engine)
        assert not until(lambda: bool(incidents(watchdog)), QUIET_SECONDS), told(watchdog, engine)
        assert supervisor.restarts == 0
        record_property("outcome", "in rotation")


def flushed(watchdog: Watchdog) -> bool:
    """By a line of no incident."""
    lines = [line for line in watchdog.lines() if not line["incident"]]
    return any((line["step"], line["stepOutcome"]) == ("FlushCache", "Succeeded") for line in lines)


@pytest.mark.parametrize("case", [case for case in ALL if not case.right], ids=named)
def test_no_incident(case: Case, tmp_path: Path, record_property: Record) -> None:
    record_property("case", named(case))
    record_property("expected", "none")
    with (
        Engine(case, tmp_path) as engine,
        Supervisor(engine.restart) as supervisor,
        Watchdog(watched(case, engine), tmp_path, supervisor) as watchdog,
    ):
        began = play(case, engine, watchdog)
        alarmed = until(lambda: bool(incidents(watchdog)), QUIET_SECONDS)
        if alarmed:
            first = incidents(watchdog)[0]
            record_property("seconds", round(time.monotonic() - began, 1))
            record_property("found", f"{first['fault']}/{first['reason']}")
        assert not alarmed, told(watchdog, engine)
        assert supervisor.restarts == 0
        served = until(watchdog.is_ready, READY_SECONDS if case.scene.serves else 0)
        record_property("outcome", "in rotation" if served else "out of rotation")
        assert served or not case.scene.serves, f"out of rotation\n{told(watchdog, engine)}"


def play(case: Case, engine: Engine, watchdog: Watchdog) -> float:
    """When the fault began, in monotonic seconds."""
    if case.scene.from_start:
        return time.monotonic()
    assert until(watchdog.is_ready, READY_SECONDS), f"never in rotation\n{told(watchdog, engine)}"
    time.sleep(case.scene.warm_seconds)
    assert not incidents(watchdog), f"an incident before anything happened\n{told(watchdog, engine)}"
    began = time.monotonic()
    for step in case.scene.steps:
        if isinstance(step, Put):
            began = time.monotonic()
        engine.play(step)
    return began


def incidents(watchdog: Watchdog) -> list[dict[str, Any]]:
    return [line for line in watchdog.lines() if line["incident"]]


def still_open(watchdog: Watchdog) -> bool:
    newest = {line["incident"]: line["phase"] for line in incidents(watchdog)}
    return any(phase != "Closed" for phase in newest.values())


def outcomes(watchdog: Watchdog) -> set[str]:
    return {line["outcome"] for line in incidents(watchdog) if line["phase"] == "Closed"}


def told(watchdog: Watchdog, engine: Engine) -> str:
    """For whoever has to find out why."""
    status = watchdog.status() if watchdog.program.code is None else {}
    lines = [" ".join(f"{k}={v}" for k, v in line.items() if v is not None) for line in watchdog.lines()]
    return "\n".join(
        [*lines, f"STATUS {status}", "WATCHDOG " + watchdog.program.log_tail(), "ENGINE " + engine.log[-800:]]
    )
