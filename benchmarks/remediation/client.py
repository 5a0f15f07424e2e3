"""A plain asynchronous client of the API server, for an administrator or with a watchdog's own token."""

from __future__ import annotations

import json
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
import yaml

from llm_watchdog.recorder.kube import JSON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

CONNECTIONS: Final = 64
"""Of one session. A fleet of real watchdogs has one each."""
REQUEST_SECONDS: Final = 60.0
LINE_BYTES: Final = 2**20
"""An incident with its managed fields in one line of a watch."""
WATCH_SECONDS: Final = "3600"


class ApiError(RuntimeError):
    """Answered, and not with success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """What a kubeconfig with a client certificate says."""

    server: str
    authority: str
    certificate: str
    key: str

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        return cls(
            server=cluster["server"],
            authority=cluster["certificate-authority"],
            certificate=user["client-certificate"],
            key=user["client-key"],
        )

    def trust(self) -> ssl.SSLContext:
        """In the server, and nobody's certificate."""
        return ssl.create_default_context(cafile=self.authority)

    def identity(self) -> ssl.SSLContext:
        context = self.trust()
        context.load_cert_chain(self.certificate, self.key)
        return context


class Client:
    """One pool of connections. Without a certificate each request brings a token."""

    def __init__(self, server: str, context: ssl.SSLContext) -> None:
        self._session = aiohttp.ClientSession(
            base_url=server,
            connector=aiohttp.TCPConnector(ssl=context, limit=CONNECTIONS),
            read_bufsize=LINE_BYTES,
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        )
        self.writes: list[float] = []
        """Seconds that each took, with the time in which it waited for a connection."""

    async def close(self) -> None:
        await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content: str = JSON,
        token: str = "",
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Raises ApiError."""
        headers = {"Content-Type": content, **({"Authorization": f"Bearer {token}"} if token else {})}
        data = None if body is None else json.dumps(body, separators=(",", ":"))
        begin = time.monotonic()
        async with self._session.request(method, path, data=data, headers=headers, params=params) as response:
            document: dict[str, Any] = await response.json()
        if method != "GET":
            self.writes.append(time.monotonic() - begin)
        if response.status >= 400:
            raise ApiError(response.status, str(document.get("message")))
        return document

    async def items(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask("GET", path))["items"]
        return found

    async def watch(self, path: str, version: str) -> AsyncIterator[dict[str, Any]]:
        """For ever: where a busy server cuts it, it goes on with the last version. Raises ApiError."""
        forever = aiohttp.ClientTimeout(total=None)
        while True:
            params = {"watch": "true", "resourceVersion": version, "timeoutSeconds": WATCH_SECONDS}
            async with self._session.get(path, params=params, timeout=forever) as response:
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(int(event["object"].get("code", 0)), str(event["object"].get("message")))
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event
            if response.status >= 400:
                raise ApiError(response.status, f"watch of {path}")
