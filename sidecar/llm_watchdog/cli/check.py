"""`llm-watchdog check`: one round of every probe against a server, without any configuration."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from llm_watchdog.api.policy import CanaryPolicy, EngineTarget, Policy, WatchdogPolicy
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.api.thresholds import ChecksPolicy
from llm_watchdog.cli.compose import live, read_key
from llm_watchdog.cli.discovery import discover
from llm_watchdog.cli.parser import host_name
from llm_watchdog.cli.report import Result, Row, is_complete, result, rows, table
from llm_watchdog.core.observations import SocketsObservation
from llm_watchdog.engines.registry import dialect_of
from llm_watchdog.probes import sockets
from llm_watchdog.probes.engine_client import EngineClient, is_loopback
from llm_watchdog.probes.watch import Watcher
from llm_watchdog.recorder.log import configure

if TYPE_CHECKING:
    from argparse import Namespace

    from llm_watchdog.cli.discovery import Found
    from llm_watchdog.engines.dialect import Dialect

ROUND_SECONDS: Final = 16.0
"""With the 3 s in which the server is recognised it stays below 20 s."""
LOOK_SECONDS: Final = 0.1
"""How soon it is noticed that the round is complete."""
CANARY_SECONDS: Final = Seconds(15)
"""The first request of its shape may compile kernels: 15.8 s have been seen, most take less."""
HTTP_PORT: Final = 80
PATHS: Final = frozenset({"", "/", "/v1", "/v1/"})
"""What clients of OpenAI's API call a base URL."""


def main(said: Namespace) -> int:
    """0: healthy, 1: faulty, 2: cannot be told."""
    configure(sys.stderr, plain=True, level=logging.WARNING)
    try:
        host, port = _address(said.url)
    except ValueError as error:
        return _unknown(str(error))

    async def look() -> int:
        return await _look(said, host, port)

    return live(look)


def _address(text: str) -> tuple[str, int]:
    """Raises ValueError."""
    url = urlsplit(text if "//" in text else f"//{text}", scheme="http")
    if url.scheme != "http" or not url.hostname or url.path not in PATHS:
        raise ValueError(f"{text} is not of the form http://HOST:PORT")
    return host_name(url.hostname), url.port or HTTP_PORT


async def _look(said: Namespace, host: str, port: int) -> int:
    client = EngineClient(port, read_key(said.api_key_file), host=host)
    found = await discover(client, said.engine)
    await client.aclose()
    if not found.up or found.engine is None:
        return _unknown(f"{host}:{port}: {found.why}")
    if problem := found.lacks(said.model):
        return _unknown(problem)
    target = EngineTarget(
        type=found.engine,
        port=port,
        model=said.model,
        concurrency=said.concurrency,
        path=said.path,
        text_field=said.text_field,
    )
    canary, checks = CanaryPolicy(timeout=CANARY_SECONDS), ChecksPolicy(alone_for=Seconds(1))
    watcher = Watcher(
        Policy(engine=target, watchdog=WatchdogPolicy(canary=canary, checks=checks)),
        pod="check",
        clock=time.monotonic,
        api_key=read_key(said.api_key_file),
        look_at_sockets=sockets.look if is_loopback(host) else _unreadable,
        host=host,
    )
    watcher.note_rotation(in_rotation=not said.drop_streams)
    await _round(watcher, target)
    now = time.monotonic()
    outcome = result(watcher.window, watcher.verdict(now), now)
    head = [Row("engine", _engine(said, found)), Row("model", said.model or ", ".join(found.models) or "not listed")]
    sys.stdout.write(table([*head, *rows(watcher.window, dialect_of(target), watcher.checks(), now)], outcome))
    return outcome[0]


async def _round(watcher: Watcher, target: EngineTarget) -> None:
    """Until all probes are answered for, or the time is up."""
    dialect = dialect_of(target)
    looking = asyncio.create_task(watcher.run())
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROUND_SECONDS):
                while not _is_complete(watcher, dialect):  # noqa: ASYNC110 - time alone may complete it
                    await asyncio.sleep(LOOK_SECONDS)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def _is_complete(watcher: Watcher, dialect: Dialect) -> bool:
    now = time.monotonic()
    return is_complete(watcher.window, watcher.verdict(now), dialect, unchecked=watcher.unchecked(now))


def _engine(said: Namespace, found: Found) -> str:
    return f"{found.engine}, {'as told' if said.engine else 'recognised by its answers'}"


def _unreadable(_port: int, at: float) -> SocketsObservation:
    return SocketsObservation(at=at, readable=False, detail="not a loopback address")


def _unknown(why: str) -> int:
    sys.stderr.write(f"llm-watchdog check: {why}\n")
    return Result.UNKNOWN
