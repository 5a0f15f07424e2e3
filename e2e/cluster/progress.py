"""Progress lines for long steps, each with the seconds since the command began."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# A silent minute looks like a hang.
REMIND_SECONDS = 20.0


class ClusterError(RuntimeError):
    """A step failed; the message is one sentence that says what to do about it."""


@dataclass(slots=True)
class Progress:
    """Prints to stderr, so that a command's stdout stays usable in scripts."""

    begun: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        print(f"[{time.monotonic() - self.begun:6.1f}s] {line}", file=sys.stderr, flush=True)

    @contextmanager
    def step(self, line: str) -> Iterator[None]:
        began = time.monotonic()
        self.say(f"{line} ...")
        over = threading.Event()
        threading.Thread(target=self._remind, args=(line, over), daemon=True).start()
        try:
            yield
        finally:
            over.set()
        self.say(f"{line}: done in {time.monotonic() - began:.1f} s")

    def _remind(self, line: str, over: threading.Event) -> None:
        while not over.wait(REMIND_SECONDS):
            self.say(f"{line}: still at it")


def wait_until(
    what: str,
    done: Callable[[], bool],
    *,
    seconds: float,
    every: float = 0.1,
    doomed: Callable[[], str | None] = lambda: None,
) -> None:
    """Poll until `done`; give up after `seconds`, or at once when `doomed` names a cause."""
    deadline = time.monotonic() + seconds
    while not done():
        cause = doomed()
        if cause is not None:
            raise ClusterError(f"{what} failed: {cause}")
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(every)
