"""Official release files, believed only after the sha256 published beside them matched."""

import hashlib
import platform
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from e2e.cluster.programs import Program
from e2e.cluster.progress import ClusterError, Progress

# Long enough for a slow handshake, short enough that a machine without internet loses seconds only.
REACH_SECONDS = 2.0
STALL_SECONDS = 30.0

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Release:
    """One downloadable file; `member` is the program's path inside an archive, empty for a plain program."""

    url: str
    checksums_url: str
    member: str = ""

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


def release_of(program: Program, machine: str | None = None) -> Release:
    arch = _ARCHITECTURES.get(machine or platform.machine(), machine or platform.machine())
    version = program.module.version
    match program.module.name:
        case "kubernetes":
            url = f"https://dl.k8s.io/v{version}/bin/linux/{arch}/{program.name}"
            return Release(url, f"{url}.sha256")
        case "etcd":
            base = f"https://github.com/etcd-io/etcd/releases/download/v{version}"
            stem = f"etcd-v{version}-linux-{arch}"
            return Release(f"{base}/{stem}.tar.gz", f"{base}/SHA256SUMS", f"{stem}/{program.name}")
        case "containerd":
            base = f"https://github.com/containerd/containerd/releases/download/v{version}"
            url = f"{base}/containerd-{version}-linux-{arch}.tar.gz"
            return Release(url, f"{url}.sha256sum", f"bin/{program.name}")
        case "prometheus":
            base = f"https://github.com/prometheus/prometheus/releases/download/v{version}"
            stem = f"prometheus-{version}.linux-{arch}"
            return Release(f"{base}/{stem}.tar.gz", f"{base}/sha256sums.txt", f"{stem}/{program.name}")
        case _:
            base = f"https://github.com/opencontainers/runc/releases/download/v{version}"
            return Release(f"{base}/runc.{arch}", f"{base}/runc.sha256sum")


def wanted(env: Mapping[str, str]) -> bool:
    return env.get("LLMWORKER_DOWNLOADS", "1") != "0"


def published_sha256(text: str, file_name: str) -> str:
    """Reads a bare digest or the line for `file_name` of a list as sha256sum prints it."""
    lines = [line.split() for line in text.splitlines() if re.match(r"[0-9a-f]{64}\b", line)]
    for words in lines:
        if len(words) == 1 or words[1].lstrip("*") == file_name:
            return words[0]
    raise ClusterError(f"no sha256 is published for {file_name}")


def make_client() -> httpx.Client:
    return httpx.Client(follow_redirects=True, timeout=httpx.Timeout(STALL_SECONDS, connect=REACH_SECONDS))


def reachable(client: httpx.Client, release: Release) -> bool:
    try:
        return client.head(release.checksums_url, timeout=REACH_SECONDS).is_success
    except httpx.HTTPError:
        return False


def download(client: httpx.Client, program: Program, into: Path, progress: Progress) -> Path:
    release = release_of(program)
    into.mkdir(parents=True, exist_ok=True)
    arrived = into / f".{release.file_name}.part"
    try:
        with progress.step(f"downloading {release.url}"):
            expected = published_sha256(client.get(release.checksums_url).raise_for_status().text, release.file_name)
            actual = _stream(client, release.url, arrived)
        if actual != expected:
            raise ClusterError(f"{release.url} has sha256 {actual}, but {expected} is published")
        if release.member:
            _take_member(arrived, release.member, into / program.name)
        else:
            arrived.chmod(0o755)
            arrived.replace(into / program.name)
    finally:
        arrived.unlink(missing_ok=True)
    return into / program.name


def _stream(client: httpx.Client, url: str, target: Path) -> str:
    digest = hashlib.sha256()
    with client.stream("GET", url) as answer, target.open("wb") as file:
        for chunk in answer.raise_for_status().iter_bytes(1 << 20):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _take_member(archive: Path, member: str, target: Path) -> None:
    scratch = target.with_name(f".{target.name}.part")
    with tarfile.open(archive) as opened:
        source = opened.extractfile(member)
        if source is None:
            raise ClusterError(f"{archive.name} holds no {member}")
        scratch.write_bytes(source.read())
    scratch.chmod(0o755)
    scratch.replace(target)
