"""No dialect raises, whatever is read to it: each reader of each dialect against garbage, and against good samples that
are cut, mixed up or given values of other types."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_watchdog.engines.recognition import RECOGNITION_CALLS, recognise
from llm_watchdog.engines.registry import DIALECTS
from tests.sidecar.engines import pages
from tests.sidecar.engines.streams import STREAMS
from tests.sidecar.recorded import RECORDINGS, answer, data_lines, text

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineType
    from llm_watchdog.engines.dialect import Dialect

ENGINES = pytest.mark.parametrize("engine", DIALECTS)

EVENTS = [
    line.removeprefix("data: ")
    for stream in STREAMS.values()
    for part in (*stream.good, stream.error)
    for line in part.decode().splitlines()
    if line
] + data_lines(answer("chat_stream").text)
BODIES = [
    pages.server_info().decode(),
    b'{"loads":[{"num_running_reqs":3,"num_waiting_reqs":1}]}'.decode(),
    pages.PROPS.decode(),
    pages.slots(pages.slot(0, busy=True)).decode(),
    pages.ps(("a:7b", "2026-11-21T11:59:59Z")).decode(),
    answer("models").text,
    answer("load").text,
]
PAGES = [pages.SGLANG_METRICS, pages.LLAMACPP_METRICS, pages.TGI_METRICS, text("metrics_after.txt")]
NAMES = sorted({word for sample in (*EVENTS, *BODIES) for word in sample.split('"') if word.isidentifier()})

numbers = st.sampled_from([0, -1, 2**63, 10**400, 1e308, math.nan, math.inf, -math.inf, True])
leaves = st.none() | st.booleans() | numbers | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=6),
    max_leaves=25,
)


def cut(sample: str) -> st.SearchStrategy[str]:
    return st.integers(0, len(sample)).map(lambda end: sample[:end])


@st.composite
def mistyped(draw: st.DrawFn, samples: list[str]) -> str:
    """A good document with one field replaced by anything."""
    document = json.loads(draw(st.sampled_from([sample for sample in samples if sample[:2] in ('{"', "[{")])))
    here = document
    while isinstance(here, dict | list) and here:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()) or not isinstance(here[key], dict | list):
            here[key] = draw(values)
            break
        here = here[key]
    return json.dumps(document)


json_garbage = values.map(json.dumps)
events = st.text() | json_garbage | st.sampled_from(EVENTS).flatmap(cut) | mistyped(EVENTS)
bodies = st.binary() | (json_garbage | st.sampled_from(BODIES).flatmap(cut) | mistyped(BODIES)).map(str.encode)


@st.composite
def metric_pages(draw: st.DrawFn) -> str:
    """Lines of good pages, cut or with other values."""
    lines = draw(st.sampled_from(PAGES)).splitlines()
    found = draw(st.lists(st.sampled_from(lines).flatmap(cut) | st.sampled_from(lines), max_size=12))
    value = draw(st.sampled_from(["NaN", "+Inf", "-1", "x", "1e999", "0x1", "", "1 2 3", "{", '"', "\\"]))
    return "\n".join(line.rpartition(" ")[0] + " " + value if draw(st.booleans()) else line for line in found)


def read_everything(dialect: Dialect, event: str, body: bytes, page: str) -> None:
    dialect.read_event(event)
    dialect.read_models(body)
    dialect.read_load(body)
    dialect.read_metrics(page)
    for call in dialect.status_calls:
        dialect.read_status(call.name, body)
    for path in dialect.state_paths:
        path.read(200, body)
    for status in (400, 429, 500, 503):
        dialect.read_rejection(status, body)


@ENGINES
@given(event=events, body=bodies, page=st.text() | metric_pages())
def test_no_reader_raises(engine: EngineType, event: str, body: bytes, page: str) -> None:
    read_everything(DIALECTS[engine](), event, body, page)


@ENGINES
@pytest.mark.parametrize(
    "garbage", ["x" * 10_000_000, "[" * 100_000, '{"a":' * 100_000, "9" * 5_000, "\x00" * 1000, "\ud800"]
)
def test_no_reader_minds_huge_lines(engine: EngineType, garbage: str) -> None:
    read_everything(DIALECTS[engine](), garbage, garbage.encode(errors="replace"), garbage)


@ENGINES
@given(event=events)
def test_what_an_event_says_is_of_the_right_kind(engine: EngineType, event: str) -> None:
    seen = DIALECTS[engine]().read_event(event)
    if seen is None:
        return
    assert type(seen.tokens) is int
    assert seen.tokens >= 0
    assert seen.finish is None or type(seen.finish) is str
    assert all(type(token) is int for token in seen.content.token_ids)
    assert all(value is None or math.isfinite(value) for value in seen.content.logprobs)


@ENGINES
@given(page=metric_pages())
def test_what_a_page_says_is_finite(engine: EngineType, page: str) -> None:
    reading = DIALECTS[engine]().read_metrics(page)
    if reading is not None:
        numbers = [getattr(reading, field) for field in reading.__slots__]
        assert all(number is None or math.isfinite(number) for number in numbers)


@given(st.dictionaries(st.sampled_from([call.path for call in RECOGNITION_CALLS]), st.tuples(st.integers(), bodies)))
def test_recognition_never_raises(answers: dict[str, tuple[int, bytes]]) -> None:
    recognise(answers)


@ENGINES
def test_every_capability_is_one_line_for_people(engine: EngineType) -> None:
    capabilities = DIALECTS[engine]().capabilities
    said = {field: getattr(capabilities, field) for field in capabilities.__slots__}
    assert said["end_of_stream"]
    assert all("\n" not in words and len(words) < 160 for words in said.values())


def test_the_samples_are_there() -> None:
    assert RECORDINGS.is_dir()
    assert len(EVENTS) > 30
