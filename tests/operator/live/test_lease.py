"""One leads, losing the lease ends the process, and a process that was asleep does not write."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from e2e.lab.operator_process import NAMESPACE as SYSTEM
from e2e.lab.operator_process import operator
from tests.operator.live.api import Api, until
from tests.operator.live.worker import worker_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.apiserver

LOST = 3


def lease(api: Api, name: str) -> dict[str, Any]:
    return (api.get("leases", SYSTEM, name) or {}).get("spec") or {}


@pytest.fixture
def lease_name(request: pytest.FixtureRequest, api: Api, apiserver: Any) -> Iterator[str]:
    """The one name that the manifests' Role allows; gone at the end."""
    yield "llmworker-operator"
    if api.get("leases", SYSTEM, "llmworker-operator"):
        api.delete("leases", SYSTEM, "llmworker-operator")


def test_the_standby_is_ready_and_takes_over(
    api: Api, installed: Path, tmp_path: Path, namespace: str, lease_name: str
) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(operator(installed, tmp_path / "first.log", identity="first"))
        first.wait_until_it_leads()
        second = stack.enter_context(operator(installed, tmp_path / "second.log", identity="second"))
        until(lambda: (answer := second.ask("/readyz")) and answer.status_code == 200)
        assert "leads" not in second.messages()
        first.send(signal.SIGKILL)
        second.wait_until_it_leads()
        assert lease(api, lease_name)["holderIdentity"] == "second"
        api.create("llmworkers", worker_manifest(namespace))
        until(lambda: api.get("deployments", namespace, "qwen"))


def test_a_leader_that_is_told_to_stop_gives_the_lease_back(
    api: Api, installed: Path, tmp_path: Path, lease_name: str
) -> None:
    with operator(installed, tmp_path / "log", identity="first") as first:
        first.wait_until_it_leads()
        assert first.stop() == 0
    assert lease(api, lease_name)["holderIdentity"] == ""


def test_a_standby_stops_when_told(api: Api, installed: Path, tmp_path: Path, lease_name: str) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(operator(installed, tmp_path / "first.log", identity="first"))
        first.wait_until_it_leads()
        second = stack.enter_context(operator(installed, tmp_path / "second.log", identity="second"))
        until(lambda: second.ask("/readyz"))
        assert second.stop() == 0
        assert lease(api, lease_name)["holderIdentity"] == "first"


def test_the_process_ends_when_somebody_else_has_the_lease(
    api: Api, installed: Path, tmp_path: Path, lease_name: str
) -> None:
    with operator(installed, tmp_path / "log", identity="first") as first:
        first.wait_until_it_leads()
        api.patch("leases", SYSTEM, lease_name, {"spec": {"holderIdentity": "thief"}})
        assert first.wait(10) == LOST
        assert any("lease is lost" in message for message in first.messages())


def test_the_process_ends_when_the_api_server_is_gone(installed: Path, tmp_path: Path, lease_name: str) -> None:
    with through_a_wire(installed, tmp_path / "kubeconfig") as cut, ExitStack() as stack:
        kubeconfig = tmp_path / "kubeconfig"
        first = stack.enter_context(operator(kubeconfig, tmp_path / "log", identity="first"))
        first.wait_until_it_leads()
        cut()
        assert first.wait(15) == LOST


def test_a_process_that_was_asleep_ends_and_writes_nothing(
    api: Api, installed: Path, tmp_path: Path, namespace: str, lease_name: str
) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(operator(installed, tmp_path / "first.log", identity="first"))
        first.wait_until_it_leads()
        second = stack.enter_context(operator(installed, tmp_path / "second.log", identity="second"))
        first.send(signal.SIGSTOP)
        second.wait_until_it_leads()
        api.create("llmworkers", worker_manifest(namespace))
        until(lambda: api.get("deployments", namespace, "qwen"))
        first.send(signal.SIGCONT)
        assert first.wait(15) == LOST
        assert not [m for m in first.messages() if m.startswith("applied")]


@contextmanager
def through_a_wire(kubeconfig: Path, rerouted: Path) -> Iterator[Any]:
    """A kubeconfig whose server is reached through a port of ours; yields what cuts it."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    target = cluster["server"].removeprefix("https://").split(":")
    listener = socket.create_server(("127.0.0.1", 0))
    cluster["server"] = f"https://127.0.0.1:{listener.getsockname()[1]}"
    rerouted.write_text(yaml.safe_dump(config))
    ends: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((target[0], int(target[1])))
                ends.extend((near, far))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=(source, sink), daemon=True).start()

    def cut() -> None:
        for end in (listener, *ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield cut
    finally:
        cut()


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
