"""Who is connected to the engine's port, and how many bytes have moved on each connection, without rights."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.observations import SocketSample, SocketsObservation
from llm_watchdog.probes import netlink, procnet
from llm_watchdog.probes.engine_client import OWN_ADDRESS
from llm_watchdog.probes.netlink import TcpSocket, TcpState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Source = Callable[[int], list[TcpSocket]]

_OWN: Final = socket.inet_pton(socket.AF_INET, OWN_ADDRESS)
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""An IPv4 peer of an IPv6 socket."""

SOURCES: Final[tuple[Source, ...]] = (netlink.tcp_sockets, procnet.tcp_sockets)
"""The first that works."""


def look(port: int, at: float, sources: Iterable[Source] = SOURCES) -> SocketsObservation:
    """One sample; not readable is an answer too. Raises nothing."""
    failures = []
    for source in sources:
        try:
            sockets = source(port)
        except (OSError, ValueError) as error:
            failures.append(f"{type(error).__name__}: {error}")
            continue
        listeners = frozenset(entry.inode for entry in sockets if entry.state == TcpState.LISTEN)
        samples = tuple(_sample(entry) for entry in sockets if entry.state != TcpState.LISTEN)
        return SocketsObservation(at=at, readable=True, listeners=listeners, samples=samples)
    return SocketsObservation(at=at, readable=False, detail="; ".join(failures))


def _sample(entry: TcpSocket) -> SocketSample:
    address = entry.peer_address.removeprefix(_MAPPED)
    return SocketSample(
        peer=f"{address.hex()}:{entry.peer_port}:{entry.cookie}",
        own=address == _OWN,
        open=entry.state == TcpState.ESTABLISHED,
        received=entry.received,
        acked=entry.acked,
    )
