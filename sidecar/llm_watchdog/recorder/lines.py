"""Incidents as JSON lines for scripts: one object per transition, the first at detection.

The keys are a contract: `time` (RFC 3339, UTC), `incident`, `fault`, `reason`, `phase`, `outcome`, `message`, `step`
and `stepOutcome`, always all of them. `step` is null but in lines about a step; `stepOutcome` is null when it begins.
A flush as a precaution after a wake belongs to no incident: `incident`, `fault`, `reason` and `phase` are null then.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, TextIO

from llm_watchdog.api.reasons import Phase, Rung, StepOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from llm_watchdog.core.case import Case
    from llm_watchdog.core.precaution import Precaution
    from llm_watchdog.core.replica import Replica

NEVER_BEGAN: Final = frozenset({StepOutcome.DRY_RUN, StepOutcome.UNAVAILABLE})
"""Told in one line, without one for the begin."""

log = logging.getLogger(__name__)


def lines(before: Case | None, after: Case, now: datetime) -> list[dict[str, Any]]:
    """What has happened to one incident between two looks at it; the times never go back from one to the next."""
    told = [] if before else [_line(after, after.incident.spec.detected_at, after.status.message, phase=Phase.OPEN)]
    told += _steps(before, after, now)
    if _is_news(before, after, told):
        told.append(_line(after, now, after.status.message))
    return told


def _is_news(before: Case | None, after: Case, told: Sequence[dict[str, Any]]) -> bool:
    """Another phase, or a better diagnosis, that no line about a step tells already; a close always has its own."""
    if before is None:
        return after.status.phase not in (Phase.OPEN, *(line["phase"] for line in told))
    if after.closed or before.closed:
        return after.closed and not before.closed
    same = (before.status.phase, before.status.reason) == (after.status.phase, after.status.reason)
    return not same and not told


def _steps(before: Case | None, after: Case, now: datetime) -> list[dict[str, Any]]:
    earlier = before.status.steps if before else []
    # Steps of a closed incident ended while it was still open; its close is told in a line of its own.
    phase = (before.status.phase if before else Phase.OPEN) if after.closed else after.status.phase
    told = []
    for number, step in enumerate(after.status.steps):
        known = earlier[number] if number < len(earlier) else None
        name = step.step.value
        if known is None and step.outcome not in NEVER_BEGAN:
            told.append(_line(after, now, f"{name} begins", phase=phase, step=name))
        if step.outcome is not None and (known is None or known.outcome is None):
            told.append(_line(after, now, step.proof or "", phase=phase, step=name, ended=step.outcome.value))
    return told


def _line(
    case: Case,
    at: datetime,
    message: str,
    *,
    phase: Phase | None = None,
    step: str | None = None,
    ended: str | None = None,
) -> dict[str, Any]:
    phase = phase or case.status.phase
    outcome = case.status.outcome if phase is Phase.CLOSED else None
    return {
        "time": _time(at),
        "incident": case.name,
        "fault": case.fault.value,
        "reason": case.status.reason.value,
        "phase": phase.value,
        "outcome": None if outcome is None else outcome.value,
        "message": message,
        "step": step,
        "stepOutcome": ended,
    }


def precaution_lines(before: Precaution | None, after: Precaution | None, now: datetime) -> list[dict[str, Any]]:
    """What has happened to the flush after a wake."""
    if after is None:
        return []
    new = before is None or before.since != after.since
    told = [_stray(after.since, after.message, None)] if new and after.outcome not in NEVER_BEGAN else []
    if after.outcome is not None and (new or before is None or before.outcome is not after.outcome):
        told.append(_stray(now, after.message, after.outcome))
    return told


def _stray(at: datetime, message: str, ended: StepOutcome | None) -> dict[str, Any]:
    return {
        "time": _time(at),
        **dict.fromkeys(("incident", "fault", "reason", "phase", "outcome")),
        "message": message,
        "step": Rung.FLUSH_CACHE.value,
        "stepOutcome": None if ended is None else ended.value,
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LineWriter:
    """Writes them, each flushed at once. A reader that is gone costs the lines, never the watching."""

    def __init__(self, stream: TextIO, now: Callable[[], datetime]) -> None:
        self._stream = stream
        self._now = now
        self._gone = False

    def tell(self, before: Replica, after: Replica) -> None:
        """What has happened since."""
        known = {case.name: case for case in before.cases}
        told = precaution_lines(before.precaution, after.precaution, self._now())
        for case in after.cases:
            told += lines(known.get(case.name), case, self._now())
        for line in told:
            self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        if self._gone:
            return
        try:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._gone = True
            with contextlib.suppress(OSError, ValueError):  # what is buffered would fail again when the program ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            log.warning("nobody reads standard output any more: %s", error)
