"""How a probe asks: one request with a time-out, as the kubelet's prober and the rivals' own clients do."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    from benchmarks.detection.simulation.network import Network

HEADERS: Final = {"Host": "127.0.0.1:8000", "User-Agent": "probe", "Content-Type": "application/json"}


async def ask(
    network: Network, path: str, *, seconds: float, document: dict[str, Any] | None = None, first_part: bool = False
) -> tuple[int, bytes] | None:
    """Status and body; None: no whole answer in time. `first_part`: the first bytes of the body are enough."""
    body = b"" if document is None else json.dumps(document).encode()
    try:
        async with asyncio.timeout(seconds):
            connection = await network.open("GET" if document is None else "POST", path, HEADERS, body, own=True)
            try:
                head = await network.next(connection)
                parts, more = b"", True
                while more and not (first_part and parts):
                    message = await network.next(connection)
                    parts += message.get("body", b"")
                    more = message.get("more_body", False)
            finally:
                network.close(connection)
    except (TimeoutError, OSError, httpx.HTTPError):
        return None
    return head["status"], parts
