"""Folders into tar files that are the same, byte for byte, whenever and wherever they are made."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1 << 20
NOT_PACKED = frozenset({"__pycache__", "Dockerfile", ".mypy_cache", ".ruff_cache"})


@dataclass(frozen=True, slots=True)
class Layer:
    """A compressed layer in the cache; `diff_id` is the digest of what it unpacks to."""

    path: Path
    digest: str
    diff_id: str
    size: int


class _Writer(Protocol):
    def write(self, data: bytes, /) -> int: ...


class _Digesting:
    """Passes on what is written and keeps its SHA-256."""

    def __init__(self, target: _Writer) -> None:
        self._target = target
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"

    def write(self, data: bytes, /) -> int:
        self._sha256.update(data)
        return self._target.write(data)

    def flush(self) -> None:
        """The target is flushed when it is closed; gzip asks for the method."""


def source_files(folder: Path) -> Iterator[Path]:
    """Every file of a source folder that belongs in an image, in a fixed order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not NOT_PACKED.intersection(path.relative_to(folder).parts):
            yield path


def pack_folder(folder: Path, place: str, target: IO[bytes]) -> None:
    """Write a folder as a tar in which it lies at `place`: owner root, time 0, plain modes, sorted."""
    root = PurePosixPath(place.lstrip("/"))
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for parent in (*reversed(root.parents), root):
            if parent.parts:
                archive.addfile(_entry(str(parent), tarfile.DIRTYPE, 0o755))
        for path in sorted(folder.rglob("*")):
            _add(archive, path, str(root / path.relative_to(folder).as_posix()))


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    if path.is_symlink():
        entry = _entry(name, tarfile.SYMTYPE, 0o777)
        entry.linkname = str(path.readlink())
        archive.addfile(entry)
    elif path.is_dir():
        archive.addfile(_entry(name, tarfile.DIRTYPE, 0o755))
    else:
        executable = path.stat().st_mode & stat.S_IXUSR
        entry = _entry(name, tarfile.REGTYPE, 0o755 if executable else 0o644)
        entry.size = path.stat().st_size
        with path.open("rb") as content:
            archive.addfile(entry, content)


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = mode
    return entry  # tarfile's defaults are owner 0 and time 0


def compress(tar: IO[bytes], target: Path) -> Layer:
    """Compress a tar into a layer and take both digests on the way."""
    with target.open("wb") as raw:
        outer = _Digesting(raw)
        with gzip.GzipFile(filename="", mode="wb", fileobj=outer, mtime=0, compresslevel=6) as packed:
            inner = _Digesting(packed)
            shutil.copyfileobj(tar, inner, CHUNK_BYTES)
    return Layer(path=target, digest=outer.digest, diff_id=inner.digest, size=target.stat().st_size)


def write_record(layer: Layer, path: Path) -> None:
    path.write_text(json.dumps({"digest": layer.digest, "diff_id": layer.diff_id, "size": layer.size}))


def read_record(path: Path, blob: Path) -> Layer:
    return Layer(path=blob, **json.loads(path.read_text()))
