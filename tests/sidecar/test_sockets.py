"""The sockets of a port, read from a real kernel: by root, and by a user without any rights."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llm_watchdog.core.connections import Ledger, fold
from llm_watchdog.probes import netlink, procnet, sockets
from llm_watchdog.probes.engine_client import OWN_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_watchdog.core.observations import SocketsObservation

SIDECAR = Path(sockets.__file__).parents[2]
SOURCES = [netlink.tcp_sockets, procnet.tcp_sockets]


@dataclass
class Port:
    number: int
    inode: int
    user: socket.socket
    server_end: socket.socket
    own: socket.socket


@pytest.fixture(params=["127.0.0.1", "::"])
def port(request: pytest.FixtureRequest) -> Iterator[Port]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.socket(family)))
        listener.bind((request.param, 0))
        listener.listen()
        number = listener.getsockname()[1]
        user = stack.enter_context(closing(socket.create_connection(("127.0.0.1", number))))
        server_end = stack.enter_context(closing(listener.accept()[0]))
        own = stack.enter_context(
            closing(socket.create_connection(("127.0.0.1", number), source_address=(OWN_ADDRESS, 0)))
        )
        stack.enter_context(closing(listener.accept()[0]))
        yield Port(number, os.fstat(listener.fileno()).st_ino, user, server_end, own)


def settle(number: int, ready: Callable[[SocketsObservation], bool]) -> SocketsObservation:
    """Acknowledgements take a moment."""
    deadline = time.monotonic() + 10
    while not ready(seen := sockets.look(number, at=1.0)):
        assert time.monotonic() < deadline, f"never ready: {seen}"
        time.sleep(0.01)
    return seen


def foreign(seen: SocketsObservation) -> tuple[int | None, int | None]:
    (sample,) = [sample for sample in seen.samples if not sample.own]
    return sample.received, sample.acked


def test_bytes_are_counted_per_connection_and_own_connections_are_told_apart(port: Port) -> None:
    port.user.sendall(b"x" * 1000)
    port.server_end.sendall(b"y" * 300)
    seen = settle(port.number, lambda seen: foreign(seen) == (1000, 300))
    assert seen.listeners == {port.inode}
    assert sorted(sample.own for sample in seen.samples) == [False, True]
    assert all(sample.open for sample in seen.samples)


def test_a_client_that_left_is_not_open(port: Port) -> None:
    port.user.close()
    settle(port.number, lambda seen: [sample.open for sample in seen.samples if not sample.own] == [False])


@pytest.mark.parametrize("source", SOURCES)
def test_both_sources_see_the_same_sockets(port: Port, source: sockets.Source) -> None:
    seen = sockets.look(port.number, 1.0, (source,))
    assert seen.readable
    assert seen.listeners == {port.inode}
    assert sorted(sample.own for sample in seen.samples) == [False, True]


def test_connections_without_counters_are_company_and_none_is_not(port: Port) -> None:
    _, busy = fold(Ledger(), sockets.look(port.number, 1.0, (procnet.tcp_sockets,)))
    assert not busy.readable
    port.user.close()
    port.server_end.close()
    _, alone = fold(Ledger(), sockets.look(port.number, 1.0, (procnet.tcp_sockets,)))
    assert alone.readable
    assert alone.connections == 0


def test_another_port_shows_nothing(port: Port) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        seen = sockets.look(other.getsockname()[1], at=1.0)
    assert seen.readable
    assert not seen.samples
    assert not seen.listeners


def test_a_user_without_rights_reads_the_same(port: Port) -> None:
    drop = shutil.which("setpriv")
    if os.geteuid() != 0 or drop is None:
        prefix = []  # already without rights
    else:
        prefix = [drop, "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1]);"
        "from llm_watchdog.probes import netlink;"
        "print(json.dumps([[s.inode, s.received, s.acked] for s in netlink.tcp_sockets(int(sys.argv[2]))]))"
    )
    port.user.sendall(b"x" * 777)
    settle(port.number, lambda seen: foreign(seen) == (777, 0))
    command = [*prefix, sys.executable, "-c", program, str(SIDECAR), str(port.number)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", timeout=30)
    seen = json.loads(done.stdout)
    assert [port.inode, 0, 0] in seen
    assert any(received == 777 for _, received, _ in seen)


def test_a_kernel_that_offers_nothing_is_not_readable() -> None:
    def refused(_port: int) -> list[netlink.TcpSocket]:
        raise OSError(2, "No such file or directory")

    seen = sockets.look(1, 1.0, (refused, lambda port: procnet.tcp_sockets(port, (Path("/nonexistent"),))))
    assert not seen.readable
    assert "No such file" in seen.detail
