"""The processes that a runner started, on disk, so that they can be ended when the runner no longer can.

A pid alone may belong to someone else by then: it counts only with the start time that it was written with.
"""

import json
import os
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

RUNNER = "runner"


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    pid: int
    started: int

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.started

    def kill(self) -> None:
        if self.alive:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return


def start_time(pid: int) -> int | None:
    """Clock ticks since boot at which the process began; None when it is gone or a zombie."""
    try:
        # The name in parentheses may itself hold spaces and parentheses; the fields begin after the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def entry_of(name: str, pid: int) -> Entry:
    return Entry(name, pid, start_time(pid) or 0)


def write_ledger(path: Path, entries: Iterable[Entry]) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps([asdict(entry) for entry in entries]))
    scratch.replace(path)


def read_ledger(path: Path) -> list[Entry]:
    try:
        return [Entry(**fields) for fields in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
