"""The question for a watchdog's `/status`, on real sockets: whatever answers, the operator goes on."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from llmworker_operator.adapters.status_page import BYTES_MAX, StatusPages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def answering(response: web.Response | None) -> AsyncIterator[tuple[StatusPages, list[str]]]:
    """None: it never answers."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        if response is None:
            assert request.transport
            request.transport.abort()
            return web.Response()
        return response

    application = web.Application()
    application.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: int = runner.addresses[0][1]
    pages = StatusPages(timeout_seconds=10, port=port)
    try:
        yield pages, asked
    finally:
        await pages.close()
        await runner.cleanup()


async def test_what_a_watchdog_says() -> None:
    said: dict[str, Any] = {"replica": {"baseline": {"key": "k" * 200_000}}}
    async with answering(web.json_response(said)) as (pages, asked):
        assert await pages.read("127.0.0.1") == said
        assert asked == ["/status"]


@pytest.mark.parametrize(
    "response",
    [
        web.Response(status=404, text="{}"),
        web.Response(status=302, headers={"Location": "/other"}, text="{}"),
        web.Response(text="no JSON"),
        web.Response(text="[1]"),
        web.Response(text="[" * 100_000),
        web.Response(body=b"\xff"),
        web.Response(text=json.dumps({"x": "x" * BYTES_MAX})),
        web.Response(text=""),
        None,
    ],
    ids=["status", "redirect", "text", "list", "deep", "bytes", "much", "empty", "cut"],
)
async def test_what_no_watchdog_says(response: web.Response | None) -> None:
    async with answering(response) as (pages, asked):
        assert await pages.read("127.0.0.1") is None
        assert set(asked) == {"/status"}


@pytest.mark.parametrize("address", ["", "localhost", "127.0.0.1/x?", "169.254.1.1:80", "::1"])
async def test_where_nobody_is(address: str) -> None:
    async with answering(web.json_response({})) as (pages, asked):
        assert await pages.read(address) is None
        assert asked == []
