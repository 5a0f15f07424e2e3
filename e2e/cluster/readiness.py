"""How long a node took until it was Ready, beside how long a warm one may take: told, and never a reason to fail."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from e2e.cluster.places import State
from e2e.cluster.progress import Progress

WARM_SECONDS: Final = 40.0
"""Bound of a start with programs and packages in place, on 2 cores that nobody else uses."""


def told(seconds: float) -> str:
    sentence = f"node Ready after {seconds:.1f} s"
    if seconds <= WARM_SECONDS:
        return sentence
    return f"warning: {sentence}, a warm one should be within {WARM_SECONDS:.0f} s (the machine may be busy)"


@contextmanager
def timed_start(state: State, progress: Progress, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Says how long the start in its block took, and keeps it in the state folder; nothing where it failed."""
    began = clock()
    yield
    seconds = clock() - began
    state.readiness.write_text(json.dumps({"readySeconds": round(seconds, 1), "warmSeconds": WARM_SECONDS}))
    progress.say(told(seconds))


def last_start(state: State) -> str | None:
    """The sentence again, for the end of a long run; None where no start has ended well."""
    try:
        seconds: float = json.loads(state.readiness.read_text())["readySeconds"]
    except FileNotFoundError:
        return None
    return told(seconds)
