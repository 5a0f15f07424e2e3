"""The OCI image layout: manifest, configuration and index around finished layers, in one archive."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.images.contents import Image
    from e2e.images.packing import Layer

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
EPOCH = "1970-01-01T00:00:00Z"  # the time of an image is no part of its content


def image_config(image: Image, layers: list[Layer]) -> dict[str, Any]:
    return {
        "created": EPOCH,
        "architecture": GO_ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {
            "User": f"{image.user}:{image.user}",
            "Env": [f"{name}={value}" for name, value in image.environment],
            "Entrypoint": list(image.entrypoint),
            "WorkingDir": "/",
            "Labels": image.labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": EPOCH, "created_by": "e2e.images"} for _ in layers],
    }


def write_archive(target: Path, image: Image, layers: list[Layer], references: tuple[str, ...]) -> None:
    """Write an archive that `ctr images import` and `docker load` read; every reference names the one image."""
    config = _json(image_config(image, layers))
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config),
            "layers": [{"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size} for layer in layers],
        }
    )
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [_descriptor(MANIFEST_TYPE, manifest) | _named(name) for name in references],
    }
    with target.open("wb") as raw, tarfile.open(fileobj=raw, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        _add_bytes(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add_bytes(archive, "index.json", _json(index))
        for content in (config, manifest):
            _add_bytes(archive, f"blobs/sha256/{hashlib.sha256(content).hexdigest()}", content)
        for layer in layers:
            _add_layer(archive, layer)


def _named(reference: str) -> dict[str, Any]:
    # containerd reads the first annotation, other tools the second.
    tag = reference.rpartition(":")[2]
    return {"annotations": {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": tag}}


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _add_layer(archive: tarfile.TarFile, layer: Layer) -> None:
    entry = tarfile.TarInfo(f"blobs/sha256/{layer.digest.removeprefix('sha256:')}")
    entry.size = layer.size
    with layer.path.open("rb") as content:
        archive.addfile(entry, content)
