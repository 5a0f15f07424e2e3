"""For tests only: the process kills itself, once, at a named point in the life of an incident.

`LLM_WATCHDOG_CRASH_AT=journalled:Claimed` dies right after the case was journalled in that stage; `decided:<stage>`
right before. A marker in the journal's directory names the point and keeps it from happening twice. Never set it in
production.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

ENV_CRASH_AT: Final = "LLM_WATCHDOG_CRASH_AT"
MARKER: Final = "crashed-for-a-test"


class CrashPoints:
    """Does nothing unless it is told a point."""

    def __init__(self, at: str | None, directory: Path) -> None:
        self._at = at
        self._marker = directory / MARKER

    def reached(self, point: str) -> None:
        """Die here, if this is the point and it has not happened before."""
        if point != self._at or self._marker.exists():
            return
        self._marker.write_text(point, encoding="ascii")
        os.kill(os.getpid(), signal.SIGKILL)
