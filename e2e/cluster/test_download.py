"""Official downloads: addresses, checksums, and what happens when either fails."""

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from e2e.cluster import download
from e2e.cluster.programs import PROGRAMS
from e2e.cluster.progress import ClusterError, Progress

CONTENT = b"a program"


def serving(files: Mapping[str, bytes]) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        content = files.get(str(request.url))
        return httpx.Response(404) if content is None else httpx.Response(200, content=content)

    return httpx.Client(transport=httpx.MockTransport(answer))


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


@pytest.mark.parametrize(
    ("name", "machine", "url", "member"),
    [
        ("kubelet", "x86_64", "https://dl.k8s.io/v1.36.3/bin/linux/amd64/kubelet", ""),
        ("kubectl", "aarch64", "https://dl.k8s.io/v1.36.3/bin/linux/arm64/kubectl", ""),
        (
            "etcd",
            "x86_64",
            "https://github.com/etcd-io/etcd/releases/download/v3.6.16/etcd-v3.6.16-linux-amd64.tar.gz",
            "etcd-v3.6.16-linux-amd64/etcd",
        ),
        (
            "ctr",
            "x86_64",
            "https://github.com/containerd/containerd/releases/download/v2.3.7/containerd-2.3.7-linux-amd64.tar.gz",
            "bin/ctr",
        ),
        (
            "promtool",
            "x86_64",
            "https://github.com/prometheus/prometheus/releases/download/v3.10.0/prometheus-3.10.0.linux-amd64.tar.gz",
            "prometheus-3.10.0.linux-amd64/promtool",
        ),
        ("runc", "x86_64", "https://github.com/opencontainers/runc/releases/download/v1.4.3/runc.amd64", ""),
    ],
)
def test_addresses(name: str, machine: str, url: str, member: str) -> None:
    release = download.release_of(PROGRAMS[name], machine)
    assert (release.url, release.member) == (url, member)


@pytest.mark.parametrize("text", ["{sum}", "{sum}  runc.amd64\n", "0{sum}\nff  other\n{other}  x\n{sum} *runc.amd64\n"])
def test_checksum_is_read_from_every_published_form(text: str) -> None:
    wanted, other = "a" * 64, "b" * 64
    assert download.published_sha256(text.format(sum=wanted, other=other), "runc.amd64") == wanted


def test_no_published_checksum_is_an_error() -> None:
    with pytest.raises(ClusterError, match=r"no sha256 is published for runc\.amd64"):
        download.published_sha256("<html>sign in</html>", "runc.amd64")


def test_a_program_that_matches_is_kept_and_runs(tmp_path: Path) -> None:
    release = download.release_of(PROGRAMS["kubectl"])
    with serving({release.url: CONTENT, release.checksums_url: digest(CONTENT)}) as client:
        path = download.download(client, PROGRAMS["kubectl"], tmp_path, Progress())
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o111
    assert list(tmp_path.iterdir()) == [path]


def test_a_program_in_an_archive_is_taken_out(tmp_path: Path) -> None:
    release = download.release_of(PROGRAMS["etcd"])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(release.member)
        entry.size = len(CONTENT)
        archive.addfile(entry, io.BytesIO(CONTENT))
    listed = digest(buffer.getvalue()) + b"  " + release.file_name.encode()
    with serving({release.url: buffer.getvalue(), release.checksums_url: listed}) as client:
        path = download.download(client, PROGRAMS["etcd"], tmp_path, Progress())
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


def test_a_program_that_does_not_match_is_refused_and_not_left(tmp_path: Path) -> None:
    release = download.release_of(PROGRAMS["kubectl"])
    files = {release.url: b"something else", release.checksums_url: digest(CONTENT)}
    with serving(files) as client, pytest.raises(ClusterError, match="is published"):
        download.download(client, PROGRAMS["kubectl"], tmp_path, Progress())
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_does_not_answer_is_not_reachable() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("no route", request=request)

    release = download.release_of(PROGRAMS["kubectl"])
    with httpx.Client(transport=httpx.MockTransport(refuse)) as client:
        assert not download.reachable(client, release)
    with serving({}) as client:
        assert not download.reachable(client, release)
    with serving({release.checksums_url: digest(CONTENT)}) as client:
        assert download.reachable(client, release)


def test_unreachable_hosts_cost_seconds_and_not_minutes() -> None:
    hosts = {httpx.URL(download.release_of(program).url).host for program in PROGRAMS.values()}
    assert len(hosts) * download.REACH_SECONDS < 5


def test_downloads_can_be_switched_off() -> None:
    assert download.wanted({})
    assert not download.wanted({"LLMWORKER_DOWNLOADS": "0"})
