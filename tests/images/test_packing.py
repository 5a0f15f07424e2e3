"""A folder's tar depends on what is in it, and on nothing else."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from e2e.images.packing import compress, pack_folder, read_record, source_files, write_record

if TYPE_CHECKING:
    from pathlib import Path


def make_folder(root: Path, order: tuple[str, ...] = ("b.py", "a.py", "deep/c.sh")) -> Path:
    for name in order:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    (root / "deep/c.sh").chmod(0o755)
    (root / "link").symlink_to("a.py")
    return root


def packed(folder: Path, place: str = "/opt/app") -> bytes:
    target = io.BytesIO()
    pack_folder(folder, place, target)
    return target.getvalue()


def test_same_content_gives_the_same_bytes_whatever_times_modes_and_order(tmp_path: Path) -> None:
    one = make_folder(tmp_path / "one")
    other = make_folder(tmp_path / "other", order=("deep/c.sh", "a.py", "b.py"))
    os.utime(other / "a.py", (1, 1))
    (other / "b.py").chmod(0o600)
    assert packed(one) == packed(other)


@pytest.mark.parametrize("change", ["content", "executable", "name", "link"])
def test_a_change_that_matters_changes_the_bytes(tmp_path: Path, change: str) -> None:
    folder = make_folder(tmp_path / "folder")
    before = packed(folder)
    if change == "content":
        (folder / "a.py").write_text("other")
    elif change == "executable":
        (folder / "a.py").chmod(0o755)
    elif change == "name":
        (folder / "a.py").rename(folder / "z.py")
    else:
        (folder / "link").unlink()
        (folder / "link").symlink_to("b.py")
    assert packed(folder) != before


def test_entries_lie_at_their_place_owned_by_root(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "folder")
    with tarfile.open(fileobj=io.BytesIO(packed(folder))) as archive:
        entries = {entry.name: entry for entry in archive}
    assert list(entries) == [
        "opt", "opt/app", "opt/app/a.py", "opt/app/b.py", "opt/app/deep", "opt/app/deep/c.sh", "opt/app/link",
    ]  # fmt: skip
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, 0)}
    assert entries["opt/app/deep/c.sh"].mode == 0o755
    assert entries["opt/app/a.py"].mode == 0o644
    assert entries["opt/app/link"].linkname == "a.py"


def test_the_root_itself_is_no_entry(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(make_folder(tmp_path / "folder"), "/"))) as archive:
        assert archive.getnames() == ["a.py", "b.py", "deep", "deep/c.sh", "link"]


def test_digests_are_those_of_the_file_and_of_what_it_unpacks_to(tmp_path: Path) -> None:
    tar = packed(make_folder(tmp_path / "folder"))
    layer = compress(io.BytesIO(tar), tmp_path / "layer.tar.gz")
    raw = layer.path.read_bytes()
    assert layer.digest == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert layer.size == len(raw)
    assert gzip.decompress(raw) == tar
    assert compress(io.BytesIO(tar), tmp_path / "again.tar.gz").digest == layer.digest


def test_a_record_reads_back(tmp_path: Path) -> None:
    layer = compress(io.BytesIO(b"tar"), tmp_path / "layer.tar.gz")
    write_record(layer, tmp_path / "layer.json")
    assert read_record(tmp_path / "layer.json", tmp_path / "layer.tar.gz") == layer


def test_caches_and_dockerfiles_are_no_sources(tmp_path: Path) -> None:
    for name in ("a.py", "Dockerfile", "__pycache__/a.cpython-311.pyc", "sub/__pycache__/b.pyc", "sub/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in source_files(tmp_path)] == ["a.py", "sub/b.py"]
