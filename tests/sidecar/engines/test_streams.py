"""Each dialect's canary through the real probe, against a small real server that speaks the engine's stream."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.api.policy import EngineType
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Flaw
from llm_watchdog.engines.dialect import Ask
from llm_watchdog.engines.registry import DIALECTS
from llm_watchdog.probes.canary import CanaryOrder, CanaryProbe
from llm_watchdog.probes.engine_client import EngineClient
from tests.sidecar.engines.streams import DONE, STREAMS, line, llamacpp, ollama, sglang, tgi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ASK = Ask(prompt="Count", request_id="llm-watchdog-p-1", max_tokens=4, model="m")
ENGINES = pytest.mark.parametrize("engine", STREAMS)
CLOSES = b"0\r\n\r\n"


@asynccontextmanager
async def server(
    media_type: str, chunks: tuple[bytes, ...], *, cut: bool, hold: bool
) -> AsyncIterator[tuple[int, list[Any]]]:
    """Sends the chunks as a chunked body, each by itself; `cut` ends the connection inside the body, `hold` never."""
    asked: list[Any] = []
    handling: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            sizes = [h for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")]
            asked.append((head.split(b" ")[1].decode(), json.loads(await reader.readexactly(int(sizes[0].split()[1])))))
            writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\n".encode())
            writer.write(b"transfer-encoding: chunked\r\n\r\n")
            for chunk in filter(None, chunks):
                writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                await writer.drain()
            if hold:
                await reader.read()
            writer.write(b"" if cut or hold else CLOSES)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], asked
    finally:
        listening.close()
        await asyncio.gather(*handling)


async def canary(
    engine: EngineType, *chunks: bytes, cut: bool = False, hold: bool = False, ask: Ask = ASK
) -> CanaryObservation:
    dialect = DIALECTS[engine]()
    async with server(STREAMS[engine].media_type, chunks, cut=cut, hold=hold) as (port, asked):
        client = EngineClient(port, lambda: None)
        call = dialect.generate(dialect.shapes[0], ask)
        order = CanaryOrder(id="x", shape="s", call=call, timeout=30, max_tokens=ask.max_tokens)
        seen = await CanaryProbe(client, dialect, time.monotonic).send(order, lambda _: None)
        await client.aclose()
    assert asked == [(call.path, json.loads(json.dumps(call.body)))]
    return seen


@ENGINES
async def test_a_good_stream_succeeds_with_its_four_tokens(engine: EngineType) -> None:
    stream = STREAMS[engine]
    seen = await canary(engine, *stream.good)
    assert (seen.outcome, seen.tokens, seen.finish) == (CanaryOutcome.SUCCEEDED, 4, "length"), seen
    assert seen.content.text.strip().startswith("one")
    assert seen.content.cached_tokens == stream.cached_tokens


@ENGINES
async def test_it_matters_not_how_the_bytes_are_cut(engine: EngineType) -> None:
    body = b"".join(STREAMS[engine].good)
    whole, single = await canary(engine, body), await canary(engine, *(bytes([byte]) for byte in body))
    assert whole.outcome is single.outcome is CanaryOutcome.SUCCEEDED
    assert whole.content == single.content


@ENGINES
async def test_a_cut_body_is_incomplete(engine: EngineType) -> None:
    seen = await canary(engine, *STREAMS[engine].tokens, cut=True)
    assert (seen.outcome, seen.flaw) == (CanaryOutcome.INCOMPLETE, Flaw.BODY_CUT)


@ENGINES
async def test_a_body_that_does_not_end_is_a_flaw_whatever_was_said_in_it(engine: EngineType) -> None:
    seen = await canary(engine, *STREAMS[engine].good, hold=True)
    assert (seen.outcome, seen.flaw) == (CanaryOutcome.INCOMPLETE, Flaw.NO_TERMINATOR)


@ENGINES
async def test_a_clean_end_without_a_finish_reason_is_incomplete(engine: EngineType) -> None:
    seen = await canary(engine, *STREAMS[engine].tokens)
    assert (seen.outcome, seen.flaw) == (CanaryOutcome.INCOMPLETE, Flaw.NO_FINISH_REASON)


@ENGINES
async def test_an_error_inside_a_200_is_one_whatever_follows(engine: EngineType) -> None:
    stream = STREAMS[engine]
    seen = await canary(engine, *stream.tokens, stream.error)
    assert (seen.outcome, seen.flaw) == (CanaryOutcome.ERROR_IN_STREAM, Flaw.ERROR_IN_STREAM)
    assert seen.detail


@ENGINES
async def test_an_empty_200_is_an_empty_answer(engine: EngineType) -> None:
    for chunks in ((), (b"\n\n",), (b"null\n",)):
        seen = await canary(engine, *chunks)
        assert (seen.outcome, seen.flaw) == (CanaryOutcome.INCOMPLETE, Flaw.EMPTY_ANSWER)


@pytest.mark.parametrize("engine", [EngineType.VLLM, EngineType.SGLANG])
async def test_where_the_terminator_comes_apart_its_absence_is_a_flaw(engine: EngineType) -> None:
    stream = STREAMS[engine]
    seen = await canary(engine, *stream.tokens, stream.finish)
    assert (seen.outcome, seen.flaw) == (CanaryOutcome.INCOMPLETE, Flaw.NO_TERMINATOR)


@pytest.mark.parametrize(
    ("engine", "chunks"),
    [
        (EngineType.LLAMACPP, (llamacpp(), llamacpp(stop=True))),
        (EngineType.TGI, (tgi(1), tgi(2, generated_text=" one one"))),
        (EngineType.OLLAMA, (ollama(), ollama(response="", done=True))),
        (EngineType.SGLANG, (sglang(1), sglang(2), DONE)),
    ],
)
async def test_an_end_that_says_no_reason_is_a_flaw(engine: EngineType, chunks: tuple[bytes, ...]) -> None:
    assert (await canary(engine, *chunks)).flaw is Flaw.NO_FINISH_REASON


@pytest.mark.parametrize(
    ("engine", "chunks"),
    [
        (EngineType.SGLANG, (sglang(1), sglang(1, {"type": "abort", "message": "Aborted"}), DONE)),
        (EngineType.OLLAMA, (ollama(response="", done=True, done_reason="unload"),)),
        (EngineType.OLLAMA, (ollama(response="", done=True, done_reason="load"),)),
        (EngineType.LLAMACPP, (llamacpp(), llamacpp(stop=True, stop_type="none"))),
    ],
)
async def test_an_end_for_another_reason_is_no_whole_answer(engine: EngineType, chunks: tuple[bytes, ...]) -> None:
    seen = await canary(engine, *chunks)
    assert seen.outcome is CanaryOutcome.INCOMPLETE
    assert "finish reason" in seen.detail


@pytest.mark.parametrize(
    ("engine", "chunks"),
    [
        (EngineType.SGLANG, (sglang(1, {"type": "stop", "matched": 2}), DONE)),
        (EngineType.LLAMACPP, (llamacpp(content="", tokens=[], stop=True, stop_type="eos"),)),
        (EngineType.TGI, (tgi(1, generated_text="", details={"finish_reason": "eos_token", "generated_tokens": 1}),)),
        (EngineType.OLLAMA, (ollama(response="", done=True, done_reason="stop"),)),
    ],
)
async def test_a_model_that_stops_at_once_has_answered(engine: EngineType, chunks: tuple[bytes, ...]) -> None:
    seen = await canary(engine, *chunks)
    assert (seen.outcome, seen.tokens, seen.finish) == (CanaryOutcome.SUCCEEDED, 1, "stop")


@pytest.mark.parametrize(
    ("engine", "chunks"),
    [
        (EngineType.SGLANG, (sglang(6), sglang(6, {"type": "length"}), DONE)),
        (EngineType.LLAMACPP, (*(llamacpp() for _ in range(6)), llamacpp(content="", stop=True, stop_type="limit"))),
        (
            EngineType.TGI,
            (
                *(tgi(place) for place in range(1, 9)),
                tgi(9, generated_text="x", details={"finish_reason": "length", "generated_tokens": 9}),
            ),
        ),
        (EngineType.OLLAMA, tuple(ollama() for _ in range(40))),
    ],
)
async def test_tokens_beyond_the_limit_are_seen(engine: EngineType, chunks: tuple[bytes, ...]) -> None:
    seen = await canary(engine, *chunks)
    assert (seen.outcome, seen.flaw) == (CanaryOutcome.INCOMPLETE, Flaw.BEYOND_LIMIT)


async def test_a_usage_beyond_the_limit_is_wrong_where_fewer_ids_came() -> None:
    last = tgi(2, generated_text="x", details={"finish_reason": "length", "generated_tokens": 9})
    seen = await canary(EngineType.TGI, tgi(1), last)
    assert (seen.outcome, seen.flaw) == (CanaryOutcome.INCOMPLETE, Flaw.USAGE_MISMATCH)


async def test_a_finish_of_tgi_without_the_whole_text_is_no_end() -> None:
    last = tgi(2, details={"finish_reason": "length", "generated_tokens": 2})
    assert (await canary(EngineType.TGI, tgi(1), last)).flaw is Flaw.NO_TERMINATOR


async def test_disjoint_events_of_sglang_are_no_contradiction() -> None:
    """With `--stream-output` an event holds the newest text and ids, and counts all."""
    first, second = (json.loads(sglang(n, f)[6:]) for n, f in ((1, None), (4, {"type": "length"})))
    second |= {"text": " two", "output_ids": [8, 9, 9]}
    seen = await canary(EngineType.SGLANG, *(b"data: %s\n\n" % json.dumps(e).encode() for e in (first, second)), DONE)
    assert (seen.outcome, seen.tokens) == (CanaryOutcome.SUCCEEDED, 4)


async def test_numbers_that_are_none_are_broken_numbers() -> None:
    bad = json.loads(tgi(1)[6:])
    bad["token"]["logprob"] = None
    seen = await canary(EngineType.TGI, b"data: %s\n\n" % json.dumps(bad).encode(), STREAMS[EngineType.TGI].finish)
    assert seen.flaw is Flaw.BROKEN_NUMBERS
    meta = json.loads(sglang(1, {"type": "length"})[6:])
    meta["meta_info"]["output_token_logprobs"] = [[float("nan"), 7, None]]
    seen = await canary(EngineType.SGLANG, b"data: %s\n\n" % json.dumps(meta).encode(), DONE)
    assert seen.flaw is Flaw.BROKEN_NUMBERS


async def test_an_error_that_tells_of_memory_says_so() -> None:
    error = line({"error": "llama runner process has terminated: CUDA error: out of memory"})
    seen = await canary(EngineType.OLLAMA, error)
    assert (seen.outcome, seen.flaw) == (CanaryOutcome.ERROR_IN_STREAM, Flaw.OUT_OF_MEMORY)
