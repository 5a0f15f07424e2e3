"""The sandbox image of every pod: one static busybox that sleeps, as an image archive made without an engine."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

from e2e.cluster.progress import ClusterError

IMAGE = "llmworker.dev/e2e/pause:1"
BUSYBOX = Path("/bin/busybox")
# Some 68 years: busybox's sleep takes seconds.
FOREVER = "2147483647"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def read_busybox() -> bytes:
    content = BUSYBOX.read_bytes()
    if b"/ld-linux" in content:
        raise ClusterError(f"{BUSYBOX} is not a static program: install busybox-static.")
    return content


def pause_archive(busybox: bytes, image: str = IMAGE) -> bytes:
    """In the format of `docker save`. The same bytes for the same busybox."""
    layer = _tar({"bin/busybox": busybox})
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": ["/bin/busybox", "sleep", FOREVER], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"]}]
    return _tar({"config.json": config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()})


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
