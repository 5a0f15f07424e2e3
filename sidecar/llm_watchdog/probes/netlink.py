"""INET_DIAG over netlink, by hand: the TCP sockets of one port with their byte counters. Needs no rights.

`struct inet_diag_sockid` and `inet_diag_msg` are of linux/inet_diag.h, `tcp_info` of linux/tcp.h.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


class TcpState(IntEnum):
    """include/net/tcp_states.h, those that matter here."""

    ESTABLISHED = 1
    TIME_WAIT = 6
    LISTEN = 10


NETLINK_SOCK_DIAG: Final = 4
SOCK_DIAG_BY_FAMILY: Final = 20
NLM_F_REQUEST: Final = 0x1
NLM_F_DUMP: Final = 0x300
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
INET_DIAG_INFO: Final = 2
STATES_WITH_COUNTERS: Final = (1 << 12) - 1 & ~(1 << TcpState.TIME_WAIT) & ~1
"""All but TIME_WAIT, which belongs to nobody any more."""

_HEADER: Final = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port id."""
_REQUEST: Final = struct.Struct("=BBBBI")
"""inet_diag_req_v2 up to the socket id: family, protocol, extensions, padding, states."""
_SOCKET_ID: Final = struct.Struct("!HH16s16s")
"""Ports and addresses in network order."""
_SOCKET_ID_TAIL: Final = struct.Struct("=III")
"""Interface and the two halves of the cookie."""
_MESSAGE: Final = struct.Struct("=BBBB")
"""inet_diag_msg: family, state, timer, retransmits."""
_MESSAGE_TAIL: Final = struct.Struct("=IIIII")
"""Expiry, queues, uid, inode."""
_ATTRIBUTE: Final = struct.Struct("=HH")
_TCP_BYTES: Final = struct.Struct("=QQ")
_TCP_BYTES_OFFSET: Final = 120
"""tcpi_bytes_acked, tcpi_bytes_received: since Linux 4.1."""
_RECEIVE_BYTES: Final = 65536
_TIMEOUT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One socket as the kernel tells it."""

    state: int
    local_address: bytes
    peer_address: bytes
    peer_port: int
    cookie: int
    inode: int
    acked: int | None
    received: int | None


def tcp_sockets(port: int) -> list[TcpSocket]:
    """All sockets whose local port it is, IPv4 and IPv6, in this network namespace.

    Raises OSError where the kernel does not offer it.
    """
    found: list[TcpSocket] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as link:
        link.settimeout(_TIMEOUT_SECONDS)
        for family in (socket.AF_INET, socket.AF_INET6):
            link.send(_request(family, port))
            found += (_socket(payload) for payload in _answers(link))
    return found


def _request(family: int, port: int) -> bytes:
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0, STATES_WITH_COUNTERS)
    body += _SOCKET_ID.pack(port, 0, b"", b"") + _SOCKET_ID_TAIL.pack(0, 0xFFFFFFFF, 0xFFFFFFFF)
    length = _HEADER.size + len(body)
    return _HEADER.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, family, 0) + body


def _answers(link: socket.socket) -> Iterator[bytes]:
    while True:
        datagram = link.recv(_RECEIVE_BYTES)
        offset = 0
        while offset + _HEADER.size <= len(datagram):
            length, kind, _, _, _ = _HEADER.unpack_from(datagram, offset)
            if kind == NLMSG_DONE:
                return
            payload = datagram[offset + _HEADER.size : offset + length]
            if kind == NLMSG_ERROR:
                code = -int.from_bytes(payload[:4], "little", signed=True)
                raise OSError(code, os.strerror(code))
            yield payload
            offset += (length + 3) & ~3


def _socket(payload: bytes) -> TcpSocket:
    _, state, _, _ = _MESSAGE.unpack_from(payload)
    offset = _MESSAGE.size
    _, peer_port, local, peer = _SOCKET_ID.unpack_from(payload, offset)
    offset += _SOCKET_ID.size
    _, cookie_low, cookie_high = _SOCKET_ID_TAIL.unpack_from(payload, offset)
    offset += _SOCKET_ID_TAIL.size
    *_, inode = _MESSAGE_TAIL.unpack_from(payload, offset)
    acked, received = _counters(payload, offset + _MESSAGE_TAIL.size)
    width = 4 if payload[0] == socket.AF_INET else 16
    return TcpSocket(
        state=state,
        local_address=local[:width],
        peer_address=peer[:width],
        peer_port=peer_port,
        cookie=cookie_high << 32 | cookie_low,
        inode=inode,
        acked=acked,
        received=received,
    )


def _counters(payload: bytes, offset: int) -> tuple[int | None, int | None]:
    while offset + _ATTRIBUTE.size <= len(payload):
        length, kind = _ATTRIBUTE.unpack_from(payload, offset)
        if length < _ATTRIBUTE.size:
            break
        info = offset + _ATTRIBUTE.size
        if kind == INET_DIAG_INFO and length >= _ATTRIBUTE.size + _TCP_BYTES_OFFSET + _TCP_BYTES.size:
            acked, received = _TCP_BYTES.unpack_from(payload, info + _TCP_BYTES_OFFSET)
            return acked, received
        offset += (length + 3) & ~3
    return None, None
