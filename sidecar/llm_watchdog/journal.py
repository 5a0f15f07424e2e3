"""The record that survives the process: append-only lines with a checksum each, on a volume that outlives containers.

Every line is a full snapshot of the replica's memory, so the newest good line is all that is needed. A torn or corrupt
line is counted and passed over, the file it lay in is set aside; a disk that takes nothing more leaves the watchdog
running on memory alone, which it says, and without durable record no disruptive step begins.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.document import DocumentError, decode, encode
from llm_watchdog.core.replica import Replica

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "journal.jsonl"
COMPACT_AT_BYTES: Final = 1_000_000
"""Rewritten as its newest line beyond this; the volume holds 64 MiB."""
SET_ASIDE_MAX: Final = 4
"""Damaged files kept for a person; the oldest goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What an earlier process left behind."""

    replica: Replica
    found: bool
    """False: an empty memory, which is not the same as a memory of nothing."""
    damaged_lines: int = 0


def newest(directory: Path) -> Replica | None:
    """The newest good snapshot, read beside the process that writes: nothing is repaired. Raises OSError."""
    lines = (directory / FILE).read_bytes().split(b"\n")
    return next((replica for line in reversed(lines) if line and (replica := _read(line)) is not None), None)


class Journal:
    """Opened by one process at a time; the volume belongs to this pod alone."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._newest: bytes | None = None
        self.durable = True
        """The newest snapshot is on the disk."""
        self.errors = 0
        self.last_error = ""

    def replay(self) -> Replay:
        """Read what there is. A file with damage is set aside and written anew from what was good in it."""
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return Replay(replica=Replica(), found=False)
        except OSError as error:
            self._failed(error)
            return Replay(replica=Replica(), found=False)
        good: Replica | None = None
        damaged = 0
        for line in lines:
            if not line:
                continue
            replica = _read(line)
            if replica is None:
                damaged += 1
            else:
                good, self._newest = replica, line
        if damaged:
            self._set_aside()
        return Replay(replica=good or Replica(), found=good is not None, damaged_lines=damaged)

    def write(self, replica: Replica) -> bool:
        """Returns when the snapshot is on the disk, or with False when it could not be put there."""
        line = _line(replica)
        if self.durable and line == self._newest:
            return True
        self._newest = line
        try:
            if self._size() + len(line) > COMPACT_AT_BYTES or not self.durable:
                self._rewrite()
            else:
                self._append(line)
        except OSError as error:
            self._failed(error)
            return False
        self.durable = True
        return True

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def _append(self, line: bytes) -> None:
        created = not self._path.exists()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            _write_all(descriptor, line + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if created:
            sync_directory(self._path.parent)

    def _rewrite(self) -> None:
        """The newest line alone, in a new file. Also the way out of a half-written line after a full disk."""
        if self._newest is not None:
            write_durably(self._path, self._newest + b"\n")

    def _set_aside(self) -> None:
        """A copy for a person, a clean file for us; neither is allowed to fail the start."""
        try:
            aside = sorted(self._path.parent.glob(f"{FILE}.damaged-*"))
            for old in aside[: max(0, len(aside) - SET_ASIDE_MAX + 1)]:
                old.unlink(missing_ok=True)
            number = 1 + max((int(path.name.rsplit("-", 1)[1]) for path in aside), default=0)
            self._path.rename(self._path.with_name(f"{FILE}.damaged-{number:04d}"))
            self._rewrite()
            sync_directory(self._path.parent)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self.durable = False
        self.errors += 1
        self.last_error = str(error)


def _line(replica: Replica) -> bytes:
    body = json.dumps(encode(replica), separators=(",", ":"), sort_keys=True).encode()
    return b"%08x %s" % (zlib.crc32(body), body)


def _read(line: bytes) -> Replica | None:
    checksum, _, body = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        return decode(Replica, json.loads(body))
    except (ValueError, DocumentError):
        return None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_durably(path: Path, data: bytes) -> None:
    """All of it under that name, or what was there before. Raises OSError."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """A new name is durable only when its directory is."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
