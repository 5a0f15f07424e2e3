"""The directory that `--journal` names: one process at a time, and the dialect that was recognised there before."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import EngineType
from llm_watchdog.journal import write_durably

if TYPE_CHECKING:
    from pathlib import Path

LOCK_FILE: Final = "lock"
ENGINE_FILE: Final = "engine.json"


class JournalInUseError(Exception):
    """Another process writes there."""


def take(directory: Path) -> int:
    """Make it and lock it for the life of this process. Raises OSError and JournalInUseError."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise JournalInUseError(f"{directory} is the journal of another llm-watchdog that runs") from error
    return descriptor


def remember_engine(directory: Path, address: str, engine: EngineType) -> None:
    """A server that hangs when the next process starts cannot be asked what it is. Raises OSError."""
    write_durably(directory / ENGINE_FILE, json.dumps({"address": address, "engine": engine.value}).encode())


def remembered_engine(directory: Path, address: str) -> EngineType | None:
    """None where nothing was remembered of this address."""
    try:
        said = json.loads((directory / ENGINE_FILE).read_bytes())
        return EngineType(said["engine"]) if said["address"] == address else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
