"""The seam that lets a test end the process around any write."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from llmworker_operator.adapters.write_observer import CrashAt, crash_observers

PROGRAM = """
from llmworker_operator.adapters.write_observer import CrashAt
observer = CrashAt({place!r})
for n in (1, 2, 3):
    observer.before(f"write {{n}}")
    print("wrote", n, flush=True)
    observer.after(f"write {{n}}")
"""


@pytest.mark.parametrize(
    ("place", "written"), [("before:1", 0), ("after:1", 1), ("before:3", 2), ("after:3", 3), ("before:4", 3)]
)
def test_dies_exactly_there(place: str, written: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(place=place)], capture_output=True, text=True, check=False
    )
    assert done.stdout.count("wrote") == written
    assert done.returncode == (0 if place == "before:4" else -signal.SIGKILL)


def test_ordinarily_nothing_is_observed() -> None:
    assert crash_observers("") == []


@pytest.mark.parametrize("place", ["3", "during:3", "before:", "before:x"])
def test_a_typing_error_is_told(place: str) -> None:
    with pytest.raises(ValueError, match="before:3"):
        CrashAt(place)
