"""One clock for stored times and one for intervals, which never disagree within a process."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Stored times are the wall clock's at the start plus what has elapsed: a step of the wall clock moves nothing.

    `floor` is the newest time in the journal: a wall clock that was set back must not put a proof before its step.
    """

    def __init__(self, floor: datetime | None = None) -> None:
        started = datetime.now(UTC)
        self._base = started if floor is None else max(started, floor)
        self._origin = time.monotonic()
        self.started_at = self._base

    @staticmethod
    def monotonic() -> float:
        """For intervals."""
        return time.monotonic()

    def now(self) -> datetime:
        """For what is stored."""
        return self._base + timedelta(seconds=time.monotonic() - self._origin)
