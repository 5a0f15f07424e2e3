"""Whatever bytes an engine sends, in whatever pieces: only the declared errors, bounded, and no invented token."""

from __future__ import annotations

import asyncio
import json
import math
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_watchdog.api.policy import EngineTarget
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.engines.dialect import Call, Dialect, Framing, StreamEvent
from llm_watchdog.engines.openai import OpenAI
from llm_watchdog.engines.registry import DIALECTS, dialect_of
from llm_watchdog.probes.canary import TEXT_MAX, CanaryOrder, CanaryProbe
from llm_watchdog.probes.engine_client import BodyTooLargeError, EngineClient
from llm_watchdog.probes.framing import STREAM_MAX_BYTES, events
from tests.sidecar.engines.replay import RECORDINGS
from tests.sidecar.recorded import text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hypothesis.strategies import DrawFn, SearchStrategy

EXAMPLES = settings(max_examples=150)
KINDS = ("text/event-stream", "application/json", "application/x-ndjson", "text/plain", "")


class NdJson(OpenAI):
    framing = Framing.NDJSON


class NulJson(OpenAI):
    framing = Framing.NUL_JSON


class Raw(OpenAI):
    framing = Framing.RAW


ENGINES: list[Dialect] = [
    dialect_of(EngineTarget(type=engine, model="m", path="/p", text_field="q")) for engine in DIALECTS
]
FRAMINGS: list[Dialect] = [OpenAI(), NdJson(), NulJson(), Raw()]
CORPUS = [path.read_bytes() for path in sorted(RECORDINGS.glob("*/*")) if path.suffix in (".raw", ".http", ".sse")]
BODIES = [body for whole in CORPUS if (body := whole.replace(b"\r\n\r\n", b"\n\n", 1).partition(b"\n\n")[2] or whole)]
LINES = [line for body in BODIES for line in body.replace(b"\0", b"\n").replace(b"data: ", b"").splitlines() if line]
WORDS = [
    "choices",
    "delta",
    "content",
    "text",
    "token_ids",
    "logprobs",
    "token_logprobs",
    "logprob",
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "prompt_tokens_details",
    "finish_reason",
    "error",
    "error_code",
    "message",
    "code",
    "object",
    "data",
    "reasoning",
    "tag",
    "raw",
    "final",
    "stop",
    "length",
    "queue_length",
    "model_names",
    "model_name",
    "id",
    "server_load",
    "is_sleeping",
    "response",
    "done",
    "done_reason",
    "generated_text",
]


class Body(httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes], error: Exception | None = None) -> None:
        self._pieces = pieces
        self._error = error
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += len(piece)
            yield piece
        if self._error is not None:
            raise self._error


def scalars() -> SearchStrategy[Any]:
    odd = st.sampled_from([10**400, -1, 0, 1, 2**63, math.nan, math.inf, "\ud800", "", "nan", "[DONE]", "null"])
    return st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | odd | st.sampled_from(WORDS)


def documents() -> SearchStrategy[Any]:
    """JSON of the shape of an answer, with everything in the wrong place."""
    return st.recursive(
        scalars(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
        max_leaves=12,
    )


@st.composite
def mutated(draw: DrawFn, originals: list[bytes]) -> bytes:
    """A recorded one, with bytes replaced, cut out, doubled, or cut off."""
    body = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        until = draw(st.integers(at, min(len(body), at + 20)))
        body[at:until] = draw(st.binary(max_size=12) | st.just(bytes(body[at:until]) * 2))
    return bytes(body[: draw(st.integers(0, len(body)))]) if draw(st.booleans()) else bytes(body)


@st.composite
def pieces(draw: DrawFn, body: bytes) -> list[bytes]:
    places = sorted(draw(st.lists(st.integers(0, len(body)), max_size=8)))
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def said(dialect: Dialect, body: Body, headers: dict[str, str]) -> list[StreamEvent]:
    async def read() -> list[StreamEvent]:
        return [event async for event in events(httpx.Response(200, headers=headers, stream=body), dialect)]

    return asyncio.run(read())


def canary(dialect: Dialect, body: Body, kind: str, max_tokens: int = 50) -> CanaryObservation:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": kind}, stream=body)

    async def send() -> CanaryObservation:
        client = EngineClient(8000, lambda: None, httpx.MockTransport(answer))
        order = CanaryOrder(
            id="c", shape="s", call=Call(method="POST", path="/", body={}), timeout=60, max_tokens=max_tokens
        )
        return await CanaryProbe(client, dialect, time.monotonic).send(order, lambda _: None)

    return asyncio.run(send())


@EXAMPLES
@given(
    data=st.text(max_size=60)
    | documents().map(json.dumps)
    | mutated(LINES).map(lambda line: line.decode(errors="replace"))
)
def test_no_event_breaks_a_dialect_or_counts_more_tokens_than_it_has_characters(data: str) -> None:
    for dialect in ENGINES:
        event = dialect.read_event(data)
        if event is None or dialect.cumulative:
            continue
        assert 0 <= event.tokens <= len(data)
        assert len(event.content.text) <= len(data)
        assert all(value is None or math.isfinite(value) for value in event.content.logprobs)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "NaN", "Infinity", "-Infinity", "true", '"1"', "null", "[]"])
def test_what_is_no_finite_number_is_no_log_probability(number: str) -> None:
    event = OpenAI().read_event(f'{{"choices":[{{"text":"a","logprobs":{{"token_logprobs":[-1,{number}]}}}}]}}')
    assert event is not None
    assert event.content.logprobs == (-1.0, None)


def test_half_a_character_comes_into_no_record() -> None:
    half = r"\ud83d"
    for line in (
        f'{{"choices":[{{"text":"a{half}","finish_reason":"{half}"}}]}}',
        f'{{"error":"{half}","choices":[]}}',
    ):
        seen = canary(OpenAI(), Body([f"data: {line}\n\n".encode()]), "text/event-stream")
        assert "?" in seen.content.text + seen.detail
        (seen.content.text + seen.detail + (seen.finish or "")).encode()


@pytest.mark.parametrize("dialect", [NdJson(), NulJson()], ids=lambda dialect: dialect.framing.value)
def test_wherever_two_cuts_fall_the_events_are_the_same(dialect: Dialect) -> None:
    separator = b"\n" if dialect.framing is Framing.NDJSON else b"\0"
    parts = [b'{"choices":[{"text":"%b"}]}' % text.encode() for text in ("a", "é", "c")]
    body = separator.join([*parts, b"", b""])
    for first in range(len(body) + 1):
        for second in range(first, len(body) + 1, 7):
            seen = said(dialect, Body([body[:first], body[first:second], body[second:]]), {})
            assert [event.content.text for event in seen] == ["a", "é", "c"]


@EXAMPLES
@given(body=st.binary(max_size=60) | documents().map(lambda value: json.dumps(value).encode()) | mutated(LINES))
def test_no_body_breaks_the_reader_of_an_endpoint(body: bytes) -> None:
    for dialect in ENGINES:
        dialect.read_models(body)
        dialect.read_load(body)
        for status in (400, 429, 500, 503):
            dialect.read_rejection(status, body)
        for call in dialect.status_calls:
            dialect.read_status(call.name, body)
        for path in dialect.state_paths:
            assert path.read(200, body) in (None, True, False)


@EXAMPLES
@given(data=st.data(), body=st.binary(max_size=300) | mutated(BODIES), kind=st.sampled_from(KINDS))
def test_any_bytes_in_any_pieces_end_in_an_observation_and_the_pieces_make_no_difference(
    data: st.DataObject, body: bytes, kind: str
) -> None:
    for dialect in (*ENGINES, *FRAMINGS):
        parted = canary(dialect, Body(data.draw(pieces(body))), kind)
        if dialect.framing is Framing.RAW:
            continue
        whole = canary(dialect, Body([body]), kind)
        assert parted.outcome not in (CanaryOutcome.IN_PROGRESS, CanaryOutcome.NOT_SENT), parted.detail
        assert (parted.outcome, parted.flaw, parted.tokens) == (whole.outcome, whole.flaw, whole.tokens)
        assert parted.content == whole.content
        assert dialect.cumulative or parted.tokens <= len(body) + 1
        (parted.content.text + parted.detail + (parted.finish or "")).encode()


@EXAMPLES
@given(data=st.data(), name=st.sampled_from(["fastchat/worker_generate_stream", "dbgpt/generate_stream"]))
def test_a_cumulative_stream_that_is_cut_anywhere_has_at_most_its_tokens_and_never_passes(
    data: st.DataObject, name: str
) -> None:
    dialect = ENGINES[[engine.value for engine in DIALECTS].index(name.partition("/")[0])]
    body = (RECORDINGS / f"{name}.raw").read_bytes().partition(b"\r\n\r\n")[2]
    whole = canary(dialect, Body([body]), "")
    assert whole.outcome is CanaryOutcome.SUCCEEDED
    at = data.draw(st.integers(0, len(body)))
    cut = canary(dialect, Body(data.draw(pieces(body[:at])), httpx.RemoteProtocolError("cut")), "")
    assert cut.outcome is CanaryOutcome.INCOMPLETE
    assert cut.tokens <= whole.tokens
    assert whole.content.text.startswith(cut.content.text)


@pytest.mark.parametrize("dialect", FRAMINGS, ids=lambda dialect: dialect.framing.value)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [65536, 1024])
def test_a_line_of_10_megabytes_is_refused_before_it_is_in_memory(dialect: Dialect, kind: str, size: int) -> None:
    body = Body([b"x" * size] * (10 * 1024 * 1024 // size))
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            said(dialect, body, {"content-type": kind})
        assert tracemalloc.get_traced_memory()[1] < 8 * STREAM_MAX_BYTES
    finally:
        tracemalloc.stop()
    assert body.taken <= STREAM_MAX_BYTES + size


@pytest.mark.parametrize("dialect", [OpenAI(), NdJson(), NulJson()], ids=lambda dialect: dialect.framing.value)
def test_a_long_line_that_comes_byte_by_byte_is_looked_through_once(dialect: Dialect) -> None:
    body = b'data: {"choices":[{"text":"' + b"x" * 300_000 + b'"}]}\n\n'
    kind = "text/event-stream" if dialect.framing is Framing.SSE else ""
    body = body if kind else body.removeprefix(b"data: ") + b"\0"
    seen = said(dialect, Body([body[at : at + 1] for at in range(len(body))]), {"content-type": kind})
    assert [len(event.content.text) for event in seen if event.tokens] == [300_000]


@pytest.mark.parametrize("dialect", ENGINES, ids=lambda dialect: type(dialect).__name__)
def test_what_is_kept_of_a_stream_is_bounded(dialect: Dialect) -> None:
    long = "x" * 900_000
    shapes: tuple[dict[str, Any], ...] = (
        {"choices": [{"text": long, "finish_reason": "stop"}]},
        {"text": long, "finish_reason": "stop"},
        {"content": {"object": {"data": long}}, "finish_reason": long},
    )
    for shape in shapes:
        seen = canary(dialect, Body([json.dumps(shape).encode()]), "")
        assert len(seen.content.text) <= TEXT_MAX
        assert len(seen.detail) + len(seen.finish or "") < 1000


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x"])
def test_a_compressed_body_is_refused_as_it_could_grow_without_bound(encoding: str) -> None:
    packed = zlib.compress(b"\n" * 100_000_000, wbits=31)
    assert len(packed) < STREAM_MAX_BYTES
    headers = {"content-type": "text/event-stream", "content-encoding": encoding}
    with pytest.raises(httpx.DecodingError):
        said(OpenAI(), Body([packed]), headers)

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=Body([packed]))

    found = asyncio.run(EngineClient(8000, lambda: None, httpx.MockTransport(answer)).get("/metrics", seconds=60))
    assert found.body == b""


@pytest.mark.parametrize("charset", ["hex", "zlib", "utf-16", "idna", "nonsense", "undefined"])
def test_an_event_stream_is_utf_8_whatever_it_says(charset: str) -> None:
    body = 'data: {"choices":[{"text":"é"}]}\n\n'.encode()
    for kind in (f"text/event-stream; charset={charset}", f"Text/Event-Stream;charset={charset}"):
        (event,) = said(OpenAI(), Body([body]), {"content-type": kind})
        assert event.content.text == "é"
    (whole, end) = said(
        OpenAI(), Body([body[6:]]), {"content-type": f"application/json; x=text/event-stream; {charset}"}
    )
    assert (whole.content.text, end.end) == ("é", True)


PAGE = text("metrics_after.txt").encode()


def pages() -> SearchStrategy[bytes]:
    names = st.sampled_from([line.partition(b" ")[0] for line in PAGE.splitlines() if not line.startswith(b"#")])
    values = st.sampled_from([b"NaN", b"+Inf", b"1e308", b"1e309", b"-1", b"x", b"", b"1 2 3", b"0x1", b"1_0"])
    lines = st.tuples(names, values).map(b" ".join)
    return st.lists(lines | mutated([*PAGE.splitlines()]), max_size=12).map(b"\n".join) | mutated([PAGE])


@EXAMPLES
@given(page=pages() | st.binary(max_size=200))
def test_no_metrics_page_breaks_a_dialect_and_only_finite_numbers_are_read(page: bytes) -> None:
    for dialect in ENGINES:
        reading = dialect.read_metrics(page.decode(errors="replace"))
        if reading is None:
            continue
        values = [getattr(reading, name) for name in reading.__slots__]
        assert all(value is None or math.isfinite(value) for value in values)
