"""Asks a watchdog for its `/status`, by the pod's address: no right of the API server's is needed for that."""

from __future__ import annotations

import ipaddress
import json
from typing import Any, Final

import aiohttp

from llm_watchdog.api import names

BYTES_MAX: Final = 1_000_000
"""Some ten times what a watchdog with all its evidence says; whoever says more is not believed."""


class StatusPages:
    """One session for all pods, opened at the first question."""

    def __init__(self, *, timeout_seconds: float, port: int = names.WATCHDOG_PORT) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._port = port
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def read(self, address: str) -> dict[str, Any] | None:
        """None where there is no answer, or one that no watchdog gives. Redirects are not followed."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            url = _url(address, self._port)
            async with self._session.get(url, allow_redirects=False) as response:
                body = await response.content.read(BYTES_MAX + 1)
                while 0 < len(body) <= BYTES_MAX and (more := await response.content.read(BYTES_MAX + 1 - len(body))):
                    body += more
            document = json.loads(body) if response.status == 200 and len(body) <= BYTES_MAX else None  # noqa: PLR2004
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None


def _url(address: str, port: int) -> str:
    """Of either family. Raises ValueError for what is no address."""
    found = ipaddress.ip_address(address)
    host = f"[{found}]" if found.version == 6 else str(found)  # noqa: PLR2004
    return f"http://{host}:{port}/status"
