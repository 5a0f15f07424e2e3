"""One canary against servers of all manners: how it ends, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace

import httpx
import pytest

from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Flaw
from llm_watchdog.core.observations import AnswerKind
from llm_watchdog.engines.dialect import Ask
from llm_watchdog.engines.lazyllm import LazyLlm
from llm_watchdog.engines.vllm import Vllm
from llm_watchdog.probes.canary import CanaryOrder, CanaryProbe
from llm_watchdog.probes.engine_client import BODY_MAX_BYTES, OWN_ADDRESS, EngineClient
from tests.sidecar.recorded import answer, text

Server = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n"
TOKEN = b'data: {"choices":[{"index":0,"text":"a","finish_reason":null,"token_ids":[7]}]}\n\n'
DONE = b"data: [DONE]\n\n"
ASK = Ask(prompt="Count", request_id="llm-watchdog-p-1", max_tokens=4, model="tiny")
ORDER = CanaryOrder(
    id="llm-watchdog-p-1",
    shape="completions/4",
    call=Vllm().generate("completions", ASK),
    max_tokens=4,
    timeout=0.3,
)


@asynccontextmanager
async def engine(serve: Server) -> AsyncIterator[EngineClient]:
    handling: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    client = EngineClient(server.sockets[0].getsockname()[1], lambda: None)
    try:
        yield client
    finally:
        await client.aclose()
        server.close()
        await asyncio.gather(*handling)


def sends(*chunks: bytes) -> Server:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()

    return serve


def then_silence(*chunks: bytes, gone: asyncio.Event | None = None) -> Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sends(*chunks)(reader, writer)
        while await reader.read(4096):
            pass
        if gone is not None:
            gone.set()

    return serve


async def ask(client: EngineClient, order: CanaryOrder = ORDER) -> list[CanaryObservation]:
    reports: list[CanaryObservation] = []
    seen = await CanaryProbe(client, Vllm(), time.monotonic).send(order, reports.append)
    assert reports[0].outcome is CanaryOutcome.IN_PROGRESS
    assert reports[-1] == seen
    assert all(report.outcome is CanaryOutcome.IN_PROGRESS for report in reports[:-1])
    return reports


def with_handler(handler: Callable[[httpx.Request], httpx.Response]) -> EngineClient:
    return EngineClient(8000, lambda: "secret", httpx.MockTransport(handler))


async def test_a_recorded_stream_succeeds_with_all_its_tokens() -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return answer("completion_ignore_eos")

    reports = await ask(with_handler(handler), replace(ORDER, max_tokens=8))
    assert (reports[-1].outcome, reports[-1].tokens) == (CanaryOutcome.SUCCEEDED, 8)
    assert reports[-1].first_token_at is not None
    assert asked[0].headers["authorization"] == "Bearer secret"
    assert asked[0].headers["x-request-id"] == ORDER.id
    assert json.loads(asked[0].content)["return_token_ids"] is True


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (SSE,),
        (SSE, b": keep-alive\n\n" * 3),
        (SSE, b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'),
    ],
)
async def test_without_a_generated_token_it_is_silence_and_the_engine_is_told_to_stop(
    chunks: tuple[bytes, ...],
) -> None:
    gone = asyncio.Event()
    async with engine(then_silence(*chunks, gone=gone)) as client:
        seen = (await ask(client))[-1]
        await gone.wait()
    assert (seen.outcome, seen.tokens) == (CanaryOutcome.NO_FIRST_TOKEN, 0)
    assert seen.http_status == (200 if chunks else None)


async def test_a_connection_that_nobody_accepts_is_silence() -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = EngineClient(listener.getsockname()[1], lambda: None)
        assert (await ask(client))[-1].outcome is CanaryOutcome.NO_FIRST_TOKEN


async def test_a_stream_that_stops_is_a_gap() -> None:
    async with engine(then_silence(SSE, TOKEN, TOKEN)) as client:
        seen = (await ask(client))[-1]
    assert (seen.outcome, seen.tokens) == (CanaryOutcome.TOKEN_GAP, 2)


@pytest.mark.parametrize(
    ("chunks", "outcome"),
    [
        ((SSE, TOKEN), CanaryOutcome.INCOMPLETE),
        ((SSE, TOKEN, text("stream_abort_by_pause.sse").encode()), CanaryOutcome.INCOMPLETE),
        ((SSE, text("stream_engine_death.sse").encode()), CanaryOutcome.ERROR_IN_STREAM),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",), CanaryOutcome.INCOMPLETE),
        ((b"",), CanaryOutcome.INCOMPLETE),
        ((b"nonsense\r\n\r\n",), CanaryOutcome.INCOMPLETE),
        ((SSE, b"data: " + b"x" * (2 * 1024 * 1024)), CanaryOutcome.INCOMPLETE),
        ((SSE, b": endless\n\n" * 200_000), CanaryOutcome.INCOMPLETE),
        ((SSE, b'data: {"choices":[{"text":"","finish_reason":"stop"}]}\n\n'), CanaryOutcome.INCOMPLETE),
        ((SSE, b'data: {"choices":[{"text":"","finish_reason":"stop"}]}\n\n', DONE), CanaryOutcome.SUCCEEDED),
    ],
)
async def test_how_other_streams_end(chunks: tuple[bytes, ...], outcome: CanaryOutcome) -> None:
    async with engine(sends(*chunks)) as client:
        order = CanaryOrder(id="x", shape="s", call=ORDER.call, timeout=30, max_tokens=4)
        assert (await ask(client, order))[-1].outcome is outcome


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("completion_badmodel", CanaryOutcome.REJECTED, "does not exist"),
        ("completion_badsalt", CanaryOutcome.REJECTED, "cache_salt"),
        ("completion_nostream", CanaryOutcome.SUCCEEDED, ""),
    ],
)
async def test_recorded_answers_that_are_no_streams(name: str, outcome: CanaryOutcome, said: str) -> None:
    order = replace(ORDER, max_tokens=8)
    seen = (await ask(with_handler(lambda _: answer(name)), order))[-1]
    assert seen.outcome is outcome
    assert said in seen.detail


@pytest.mark.parametrize(("status", "outcome"), [(429, CanaryOutcome.REJECTED), (503, CanaryOutcome.SERVER_ERROR)])
async def test_an_answer_in_numbers(status: int, outcome: CanaryOutcome) -> None:
    seen = (await ask(with_handler(lambda _: httpx.Response(status, text="busy"))))[-1]
    assert (seen.outcome, seen.http_status) == (outcome, status)


async def test_nobody_listens() -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert (await ask(EngineClient(port, lambda: None)))[-1].outcome is CanaryOutcome.REFUSED


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("All connection attempts failed"),
        httpx.PoolTimeout("no connection"),
        httpx.LocalProtocolError("bad header"),
        OSError(errno.EMFILE, "Too many open files"),
    ],
)
async def test_our_own_failure_is_no_evidence(error: Exception) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    assert (await ask(with_handler(fail)))[-1].outcome is CanaryOutcome.NOT_SENT


async def test_a_bug_of_our_own_does_not_stand_as_silence() -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    reports: list[CanaryObservation] = []
    with pytest.raises(ZeroDivisionError):
        await CanaryProbe(with_handler(fail), Vllm(), time.monotonic).send(ORDER, reports.append)
    assert reports[-1].outcome is CanaryOutcome.NOT_SENT


async def test_a_withdrawn_canary_says_so_and_the_engine_is_told_to_stop() -> None:
    gone = asyncio.Event()
    reports: list[CanaryObservation] = []
    order = CanaryOrder(id="x", shape="s", call=ORDER.call, timeout=60, max_tokens=4)
    async with engine(then_silence(SSE, TOKEN, gone=gone)) as client:
        task = asyncio.create_task(CanaryProbe(client, Vllm(), time.monotonic).send(order, reports.append))
        while not any(report.tokens for report in reports):  # noqa: ASYNC110 - the report is a plain callback
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await gone.wait()
    assert reports[-1].outcome is CanaryOutcome.WITHDRAWN


async def test_calls_come_from_the_watchdogs_own_address() -> None:
    peers: list[str] = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with engine(serve) as client:
        await client.get("/health", seconds=30)
    assert peers == [OWN_ADDRESS]


async def test_a_plain_get_is_bounded_in_time_and_size_and_follows_nobody() -> None:
    async with engine(then_silence(b"HTTP/1.1 200 OK\r\n\r\ndrip")) as client:
        assert (await client.get("/metrics", seconds=0.1)).kind is AnswerKind.SILENT
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    async with engine(sends(head, *[b"x" * 65536] * (BODY_MAX_BYTES // 65536 + 2))) as client:
        assert (await client.get("/metrics", seconds=30)).kind is AnswerKind.UNREADABLE
    redirect = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    async with engine(sends(redirect)) as client:
        assert (await client.get("/metrics", seconds=30)).status == 302


@pytest.mark.parametrize(("after", "tokens"), [(0, 60), (50, 51), (60, 60)])
async def test_where_no_limit_is_taken_a_stream_is_cut_far_beyond_any_before(after: int, tokens: int) -> None:
    async with engine(sends(SSE, *[b"data: word\n\n"] * 60)) as client:
        probe = CanaryProbe(client, LazyLlm(path="/chat", text_field="query"), time.monotonic)
        seen = await probe.send(replace(ORDER, endless_after=after), lambda _: None)
    cut = tokens < 60
    assert (seen.tokens, seen.flaw is Flaw.BEYOND_LIMIT) == (tokens, cut)
    assert seen.outcome is (CanaryOutcome.INCOMPLETE if cut else CanaryOutcome.SUCCEEDED)
