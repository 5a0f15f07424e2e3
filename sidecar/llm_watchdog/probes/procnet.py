"""/proc/net/tcp and tcp6: which sockets a port has, without byte counters. For kernels that offer no INET_DIAG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from llm_watchdog.probes.netlink import TcpSocket, TcpState

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def tcp_sockets(port: int, tables: tuple[Path, ...] = TABLES) -> list[TcpSocket]:
    """All sockets whose local port it is; raises OSError where there is no such table at all."""
    texts = [table.read_text() for table in tables if table.exists()]
    if not texts:
        raise OSError(f"none of {', '.join(map(str, tables))} exists")
    return [entry for text in texts for entry in _entries(text, port)]


def _entries(table: str, port: int) -> Iterator[TcpSocket]:
    suffix = f":{port:04X}"
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or not fields[1].endswith(suffix):  # noqa: PLR2004
            continue
        state = int(fields[3], 16)
        if state == TcpState.TIME_WAIT:
            continue
        address, _, peer_port = fields[2].partition(":")
        inode = int(fields[9])
        yield TcpSocket(
            state=state,
            local_address=_address(fields[1].partition(":")[0]),
            peer_address=_address(address),
            peer_port=int(peer_port, 16),
            cookie=inode,
            inode=inode,
            acked=None,
            received=None,
        )


def _address(text: str) -> bytes:
    """The kernel prints each 32-bit word in its own byte order."""
    words = (int(text[i : i + 8], 16) for i in range(0, len(text), 8))
    return b"".join(word.to_bytes(4, "little") for word in words)
