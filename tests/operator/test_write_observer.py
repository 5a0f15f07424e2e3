"""The seam that lets a test end the process around every write."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from llmworker_operator.adapters.write_observer import CrashAround, crash_observers

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
from llmworker_operator.adapters.write_observer import CrashAround
place, journal = sys.argv[1], Path(sys.argv[2])
observer = CrashAround(place)
written = journal.read_text().split() if journal.exists() else []
for what in ("a", "b", "a", "c")[len(written):]:
    observer.before(what)
    with journal.open("a") as file:
        file.write(what + "\\n")
    observer.after(what)
"""


def lives(side: str, folder: Path) -> int:
    """How many processes it takes until one comes to its end."""
    place = f"{side}:{folder / 'points'}"
    for number in range(1, 10):
        done = subprocess.run([sys.executable, "-c", PROGRAM, place, str(folder / "journal")], check=False)
        if done.returncode == 0:
            return number
        assert done.returncode == -signal.SIGKILL
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize(("side", "expected"), [("before", 5), ("after", 5), ("never", 1)])
def test_dies_once_around_every_write_also_where_one_comes_again(tmp_path: Path, side: str, expected: int) -> None:
    assert lives(side, tmp_path) == expected
    assert (tmp_path / "journal").read_text().split() == ["a", "b", "a", "c"]
    lines = (tmp_path / "points").read_text().splitlines()
    died = [line.removeprefix("crash ") for line in lines if line.startswith("crash ")]
    assert died == ([] if side == "never" else ["a", "b", "a", "c"])
    assert [line.removeprefix("done ") for line in lines if line.startswith("done ")] == ["a", "b", "a", "c"]


def test_ordinarily_nothing_is_observed() -> None:
    assert crash_observers("") == []


@pytest.mark.parametrize("place", ["points", "during:points", "before:", ":points"])
def test_a_typing_error_is_told(place: str) -> None:
    with pytest.raises(ValueError, match="before:FILE"):
        CrashAround(place)
