"""A 401 is no answer to kopf: what was refused once may be good, and is tried again."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from aiohttp import web
from kopf import AiohttpSession, OperatorSettings
from kopf._core.intents.causes import Activity

from llmworker_operator.handlers import registry_for
from llmworker_operator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Server:
    """Refuses so many requests, and remembers each token."""

    def __init__(self, refusals: int = 0) -> None:
        self.tokens: list[str] = []
        self._refusals = refusals

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.tokens.append(request.headers["Authorization"].removeprefix("Bearer "))
        return web.Response(status=401 if len(self.tokens) <= self._refusals else 200)


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def write(kubeconfig: Path, server: str, token: str) -> None:
    named = {"name": "x"}
    config = {
        "current-context": "x",
        "contexts": [{**named, "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{**named, "cluster": {"server": server}}],
        "users": [{**named, "user": {"token": token}}],
    }
    kubeconfig.write_text(yaml.safe_dump(config))


async def login() -> AiohttpSession | None:
    """As kopf does it."""
    registry = registry_for(Settings(backoff_seconds=0), _nothing, _nothing)
    (handler,) = registry._activities.iter_handlers(activity=Activity.AUTHENTICATION)
    handle: Any = handler.fn
    found: AiohttpSession | None = await handle(logger=logging.getLogger(), settings=OperatorSettings())
    return found


@asynccontextmanager
async def logged_in(server: Server, kubeconfig: Path) -> AsyncIterator[AiohttpSession]:
    runner = web.ServerRunner(web.Server(server.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    write(kubeconfig, f"http://127.0.0.1:{runner.addresses[0][1]}", "first")
    found = await login()
    assert found
    try:
        yield found
    finally:
        await found.aiohttp_session.close()
        await runner.cleanup()


async def status(found: AiohttpSession) -> int:
    async with found.aiohttp_session.get(f"{found.server}/apis") as response:
        return response.status


async def test_a_token_that_was_refused_is_offered_again(kubeconfig: Path) -> None:
    server = Server(refusals=5)
    async with logged_in(server, kubeconfig) as found:
        assert await status(found) == 200
    assert server.tokens == ["first"] * 6


async def test_a_token_that_was_renewed_is_taken_at_once(kubeconfig: Path) -> None:
    server = Server()
    async with logged_in(server, kubeconfig) as found:
        for token in ("first", "second"):
            write(kubeconfig, found.server, token)
            assert await status(found) == 200
    assert server.tokens == ["first", "second"]


async def test_without_credentials_there_is_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert await login() is None


def _nothing(*_: Any) -> None: ...
