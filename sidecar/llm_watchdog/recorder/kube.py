"""The Kubernetes API, as much of it as a watchdog needs: a few requests and a watch, over one httpx client.

The token file is read for each request, as the kubelet renews it. Knows since when the server cannot be reached.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import httpx

from llm_watchdog.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping
    from datetime import datetime
    from pathlib import Path

JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
"""Server-side apply; JSON is YAML."""
STRATEGIC: Final = "application/strategic-merge-patch+json"

TIMEOUT: Final = httpx.Timeout(5.0, connect=2.0)
WATCH_SECONDS: Final = 240
"""Then the server ends a watch in good order and a new one begins."""
WATCH_TIMEOUT: Final = httpx.Timeout(WATCH_SECONDS + 15.0, connect=2.0)
RETRY_FIRST_SECONDS: Final = 0.5
RETRY_MAX_SECONDS: Final = 10.0

# A peer that vanished without a word is noticed within about 20 s, although a watch may be silent for minutes.
KEEPALIVE: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2),
]

UNAUTHORIZED: Final = 401


class KubeError(Exception):
    """The server answered, and not with success."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class UnreachableError(Exception):
    """No answer, or one that says that the server cannot serve (5xx)."""


class TokenFromFile(httpx.Auth):
    """A token that rotates."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add what the file says now. A token that cannot be read is our trouble, not an outage of the server."""
        try:
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise KubeError(UNAUTHORIZED, "NoToken", str(error)) from error
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


def in_cluster_url(environment: Mapping[str, str]) -> str:
    """From the variables that the kubelet sets in every container."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def in_cluster_transport(authority: Path) -> httpx.AsyncBaseTransport:
    """Trusts the cluster's own authority and no other."""
    context = ssl.create_default_context(cafile=str(authority))
    return StreamTransport(ssl_context=context, socket_options=KEEPALIVE)


class Kube:
    """One client for everything."""

    def __init__(
        self, url: str, *, auth: httpx.Auth | None, transport: httpx.AsyncBaseTransport, now: Callable[[], datetime]
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, auth=auth, transport=transport, timeout=TIMEOUT, trust_env=False, follow_redirects=False
        )
        self._now = now
        self.unreachable_since: datetime | None = None

    async def aclose(self) -> None:
        """End it."""
        await self._client.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = JSON,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The answer's document. Raises KubeError, UnreachableError."""
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {"Accept": JSON} | ({} if content is None else {"Content-Type": content_type})
        try:
            response = await self._client.request(method, path, content=content, headers=headers, params=params)
        except (httpx.TransportError, OSError) as error:
            raise self._unreachable(f"{type(error).__name__}: {error}") from error
        self._check(response)
        document: dict[str, Any] = response.json()
        return document

    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """Events as (type, object): first what there is, then what changes, until the server ends it."""
        query = {**params, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS)}
        try:
            async with self._client.stream("GET", path, params=query, timeout=WATCH_TIMEOUT) as response:
                if response.status_code != httpx.codes.OK:
                    await response.aread()
                self._check(response)
                async for line in response.aiter_lines():
                    event = json.loads(line)
                    yield event["type"], event["object"]
        except (httpx.TransportError, OSError) as error:
            raise self._unreachable(f"{type(error).__name__}: {error}") from error

    def _check(self, response: httpx.Response) -> None:
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise self._unreachable(f"answered {response.status_code}")
        self.unreachable_since = None
        if not response.is_success:
            try:
                status = response.json()
            except ValueError:
                status = {}
            raise KubeError(response.status_code, str(status.get("reason")), str(status.get("message")))

    def _unreachable(self, why: str) -> UnreachableError:
        self.unreachable_since = self.unreachable_since or self._now()
        return UnreachableError(why)


class Backoff:
    """How long to wait before the next attempt."""

    def __init__(self, longest: float = RETRY_MAX_SECONDS) -> None:
        self._longest = longest
        self._next = RETRY_FIRST_SECONDS

    def reset(self) -> None:
        """It worked."""
        self._next = RETRY_FIRST_SECONDS

    def grow(self) -> float:
        """Seconds to wait now."""
        wait, self._next = self._next, min(self._next * 2, self._longest)
        return wait

    async def wait(self) -> None:
        """Wait, each time longer."""
        await asyncio.sleep(self.grow())
