"""The archive is a whole OCI layout: every digest in it leads to the content that has it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from e2e.images.contents import load_contents
from e2e.images.oci import write_archive
from e2e.images.packing import compress

if TYPE_CHECKING:
    from pathlib import Path

REFERENCES = ("llmworker.dev/watchdog:abc", "llmworker.dev/watchdog:dev")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    layers = [compress(io.BytesIO(text), tmp_path / f"{text.decode()}.gz") for text in (b"base", b"code")]
    target = tmp_path / "image.tar"
    write_archive(target, load_contents()["watchdog"], layers, REFERENCES)
    return target


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as opened:
        return {entry.name: opened.extractfile(entry).read() for entry in opened}  # type: ignore[union-attr]


def test_every_descriptor_leads_to_a_blob_of_its_size_and_digest(archive: Path) -> None:
    files = members(archive)
    index = json.loads(files["index.json"])
    manifest = json.loads(blob(files, index["manifests"][0]))
    config = json.loads(blob(files, manifest["config"]))
    assert len(manifest["layers"]) == len(config["rootfs"]["diff_ids"]) == 2
    for layer in manifest["layers"]:
        blob(files, layer)


def blob(files: dict[str, bytes], descriptor: dict[str, object]) -> bytes:
    content = files[f"blobs/sha256/{str(descriptor['digest']).removeprefix('sha256:')}"]
    assert len(content) == descriptor["size"]
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
    return content


def test_both_references_name_the_one_manifest(archive: Path) -> None:
    manifests = json.loads(members(archive)["index.json"])["manifests"]
    assert [entry["annotations"]["io.containerd.image.name"] for entry in manifests] == list(REFERENCES)
    assert manifests[0]["digest"] == manifests[1]["digest"]


def test_the_image_runs_as_no_root_with_our_entrypoint(archive: Path) -> None:
    files = members(archive)
    manifest = json.loads(blob(files, json.loads(files["index.json"])["manifests"][0]))
    config = json.loads(blob(files, manifest["config"]))["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/usr/bin/python3", "-S", "-m", "llm_watchdog.supervisor"]
    assert "PYTHONPATH=/opt/llmworker:/opt/llmworker/site-packages" in config["Env"]
