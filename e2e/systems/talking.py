"""Plain HTTP with a system: what came, and how the answer ended. Knows no system's protocol."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class End(StrEnum):
    WHOLE = "Whole"
    """The body came to its end, as HTTP says it."""
    CUT = "Cut"
    """The connection was closed inside the answer."""
    SILENT = "Silent"
    """No byte came for as long as we waited."""
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`status` is None where not even headers came."""

    end: End
    status: int | None = None
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)

    def nul_objects(self) -> list[dict[str, Any]]:
        """Of FastChat's and DB-GPT's worker streams: JSON objects, each followed by a NUL byte."""
        return [json.loads(part) for part in self.body.split(b"\0") if part]

    def sse_data(self) -> list[str]:
        lines = self.body.decode().splitlines()
        return [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]

    def sse_objects(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data in self.sse_data() if data != "[DONE]"]


class Opened:
    """A request whose answer is being read; leaving the `with` block closes the connection, as a client that leaves."""

    def __init__(self, url: str, body: Mapping[str, Any] | None, method: str, seconds: float) -> None:
        self._client = httpx.Client(timeout=seconds, trust_env=False)
        self._request = self._client.build_request(method, url, json=body)
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._body = b""

    def send(self) -> None:
        """Until the headers are here."""
        self._response = self._client.send(self._request, stream=True)
        self._chunks = self._response.iter_raw()

    def read_until(self, enough: Callable[[bytes], bool]) -> bytes:
        """The body so far, read until there is enough of it or it ends."""
        while not enough(self._body):
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._body += chunk
        return self._body

    def read_whole(self) -> Reply:
        """Everything that comes. Never raises on account of the other side."""
        try:
            if self._response is None:
                self.send()
            self.read_until(lambda _: False)
            end = End.WHOLE
        except httpx.ConnectError:
            end = End.REFUSED
        except httpx.TimeoutException:
            end = End.SILENT
        except (httpx.RemoteProtocolError, httpx.ReadError):
            end = End.CUT
        return self._reply(end)

    def _reply(self, end: End) -> Reply:
        if self._response is None:
            return Reply(end=end)
        return Reply(
            end=end,
            status=self._response.status_code,
            version=self._response.http_version,
            headers=tuple(self._response.headers.items()),
            body=self._body,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()
        self._client.close()


def ask(url: str, body: Mapping[str, Any] | None = None, *, method: str = "POST", seconds: float = 10) -> Reply:
    """One request, read to its end; `seconds` is the longest silence."""
    with Opened(url, body, method, seconds) as opened:
        return opened.read_whole()


def get(url: str, *, seconds: float = 10) -> Reply:
    return ask(url, method="GET", seconds=seconds)


def answers(url: str, body: Mapping[str, Any] | None = None, *, method: str = "GET") -> bool:
    """Does it answer 200 by now?"""
    return ask(url, body, method=method, seconds=2).status == httpx.codes.OK


def wait_for(what: str, holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
