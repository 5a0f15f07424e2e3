"""etcd and kube-apiserver alone: enough for schemas, CEL, admission, conflicts and server-side apply."""

import json
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from e2e.cluster.access import ApiAccess
from e2e.cluster.binaries import ensure_programs
from e2e.cluster.control import Control
from e2e.cluster.controlplane import (
    AUDIT_POLICY,
    Credentials,
    Endpoints,
    apiserver_command,
    etcd_command,
    issue_credentials,
    strict_options,
)
from e2e.cluster.kubeconfig import server_of, write_kubeconfig
from e2e.cluster.pki import Authority
from e2e.cluster.places import State
from e2e.cluster.programs import APISERVER_ONLY
from e2e.cluster.progress import Progress, wait_until
from e2e.cluster.teardown import tear_down

READY_SECONDS = 120.0
PROBE_SECONDS = 2.0


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; held open together so that none is named twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def serves(url: str, authority: Path) -> bool:
    """Whether `/readyz` says yes; every other answer, and none, is a no."""
    trust = ssl.create_default_context(cafile=str(authority))
    try:
        return httpx.get(f"{url}/readyz", verify=trust, timeout=PROBE_SECONDS, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def wait_for_apiserver(control: Control, url: str, authority: Path) -> None:
    wait_until(
        "kube-apiserver",
        lambda: serves(url, authority),
        seconds=READY_SECONDS,
        doomed=lambda: control.ended("etcd") or control.ended("kube-apiserver"),
    )


def start_storage_and_api(
    control: Control,
    programs: Mapping[str, Path],
    endpoints: Endpoints,
    credentials: Credentials,
    options: Sequence[str] = (),
) -> None:
    """Returns at once: kube-apiserver itself waits for etcd. Of a list that is given twice both halves count."""
    control.start("etcd", etcd_command(programs["etcd"], control.state, endpoints))
    command = apiserver_command(programs["kube-apiserver"], endpoints, credentials)
    control.start("kube-apiserver", [*command, *options])


def start_apiserver_only(control: Control, progress: Progress) -> ApiAccess:
    """Under a runner that is there already."""
    state = control.state
    programs = ensure_programs(APISERVER_ONLY, progress)
    etcd_port, peer_port, secure_port = free_ports(3)
    endpoints = Endpoints("127.0.0.1", secure_port, etcd_port, peer_port)
    credentials = issue_credentials(Authority(state.pki), endpoints)
    with progress.step("etcd and kube-apiserver"):
        state.audit_policy.write_text(json.dumps(AUDIT_POLICY))
        start_storage_and_api(control, programs, endpoints, credentials, strict_options(state))
        wait_for_apiserver(control, endpoints.url, credentials.authority)
    write_kubeconfig(state.kubeconfig, endpoints.url, credentials.authority, credentials.admin)
    return replace(access_to(state, programs["kubectl"]), audit_log=state.audit_log)


def access_to(state: State, kubectl: Path) -> ApiAccess:
    return ApiAccess(
        kubeconfig=state.kubeconfig,
        url=server_of(state.kubeconfig),
        kubectl_program=kubectl,
        kubectl_cache=state.root / "kubectl-cache",
        certificate_authority=state.pki / "ca.crt",
    )


@contextmanager
def temporary_apiserver(progress: Progress) -> Iterator[ApiAccess]:
    """For one test session, in a folder that goes with it."""
    state = State(Path(tempfile.mkdtemp(prefix="llmworker-api-")))
    control = Control(state)
    runner = control.spawn(follow=True)
    try:
        yield start_apiserver_only(control, progress)
    finally:
        runner.terminate()
        runner.wait()
        shutil.rmtree(state.root)


def detached_apiserver_up(parent: State, progress: Progress) -> ApiAccess:
    """Beside a node, in a folder of its own; runs on when the command ends."""
    state = _beside(parent)
    control = Control(state)
    if control.alive() and state.kubeconfig.exists():
        progress.say(f"the API server of {state.root} runs already")
        return access_to(state, ensure_programs(["kubectl"], progress)["kubectl"])
    tear_down(state)
    control.spawn().wait()
    return start_apiserver_only(control, progress)


def detached_apiserver_down(parent: State, progress: Progress) -> None:
    with progress.step("ending etcd and kube-apiserver"):
        tear_down(_beside(parent))


def _beside(parent: State) -> State:
    return State(parent.root / "apiserver")
