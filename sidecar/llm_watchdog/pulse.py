"""The watchdog's own pulse: a byte to the supervisor while the loop makes passes. A hang of ours must be found too."""

from __future__ import annotations

import os
import time

# Of the fewest imports: the supervisor has this module too.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENV_PULSE_FD = "LLM_WATCHDOG_PULSE_FD"
BEAT_SECONDS = 5.0
"""Between two bytes."""


class Pulse:
    """`descriptor`: the pipe's end to write to; None where nobody listens."""

    def __init__(self, descriptor: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._beaten_at: float | None = None

    def beat(self) -> None:
        """The loop has made a pass. Never blocks, never raises: a full or closed pipe is the listener's affair."""
        now = self._clock()
        if self._descriptor is None or (self._beaten_at is not None and now - self._beaten_at < BEAT_SECONDS):
            return
        self._beaten_at = now
        try:
            os.write(self._descriptor, b".")
        except OSError:
            return


def inherited(environment: Mapping[str, str]) -> Pulse:
    """The pipe that the supervisor left open for its child, and for nobody after it."""
    try:
        descriptor = int(environment[ENV_PULSE_FD])
        os.set_inheritable(descriptor, False)
        os.set_blocking(descriptor, False)
    except (KeyError, ValueError, OSError):
        return Pulse(None)
    return Pulse(descriptor)
