"""Where built things lie, and how two builders that run at once keep out of each other's way."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KEEP_ARCHIVES = 3  # a code change makes a new archive of some 40 MB; older ones are of no use


def cache_folder(kind: str) -> Path:
    """The folder for one kind of built things: below LLMWORKER_CACHE, XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("LLMWORKER_CACHE")
    shared = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (Path(own) if own else shared / "llmworker") / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one builder; the kernel lets go of it if the builder is killed."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def content_hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part.encode())
    return digest.hexdigest()[:16]


def drop_old_archives(folder: Path, name: str) -> None:
    """Remove all but the newest archives of one image, and the folders that this leaves empty."""
    archives = sorted(folder.glob(f"*/{name}.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for archive in archives[KEEP_ARCHIVES:]:
        shutil.rmtree(archive.parent)
