"""FastChat, DB-GPT, LazyLLM and Chatchat: what was recorded, good and bad, is answered in the same form here."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fault_engine.process import EngineProcess
from tests.fault_engine.recording import shape
from tests.fault_engine.wire import Reply, Way, ask, get, ways

FOLDER = Path(__file__).parents[1] / "recordings"
VARIABLE_HEADERS = {"date", "server", "content-length", "transfer-encoding", "vary"}
SILENCE_SECONDS = 0.4


@dataclass(frozen=True)
class Case:
    """A recording, and how it comes about here. `end` is not in the file; it is in the README beside it."""

    dialect: str
    name: str
    place: int = 0  # in the dialect's ways
    fault: str = ""
    argument: float | None = None
    stream: bool = True
    end: str = "whole"


CASES = [
    Case("fastchat", "worker_generate_stream"),
    Case("fastchat", "openai_stream", 1),
    Case("fastchat", "openai_plain", 1, stream=False),
    Case("fastchat", "openai_killed_midstream", 1, "cut-body", 1, end="cut"),
    Case("fastchat", "openai_leaked_stream", 1, "hang", end="open"),
    Case("fastchat", "openai_broken_pydantic2", 1, "null-body", end="cut"),
    Case("dbgpt", "generate_stream"),
    Case("dbgpt", "upstream_cut", 0, "error-inside", 1),
    Case("dbgpt", "upstream_500", 0, "upstream-failed"),
    Case("dbgpt", "stall", 0, "stall-after", 1, end="open"),
    Case("dbgpt", "probe_while_stalled", 0, "hang", end="open"),
    Case("dbgpt", "apiserver_stream", 1),
    Case("dbgpt", "apiserver_cut", 1, "error-inside", 1),
    Case("dbgpt", "apiserver_stall", 1, "stall-after", 1, end="open"),
    Case("dbgpt", "apiserver_pinned", 1, "hang", end="open"),
    Case("chatchat", "good_stream"),
    Case("chatchat", "good_plain", stream=False),
    Case("chatchat", "stall", 0, "stall-after", 1, end="open"),
    Case("chatchat", "upstream_cut", 0, "error-inside", 1),
    Case("chatchat", "upstream_ended_early", 0, "no-finish"),
    Case("chatchat", "upstream_500_plain", 0, "null-body", stream=False),
    Case("chatchat", "upstream_500_stream", 0, "null-body", end="cut"),
    Case("chatchat", "saturated", 0, "gateway-saturated"),
    Case("lazyllm", "fix_n1"),
]


@dataclass(frozen=True)
class Recorded:
    headers: dict[str, str]
    body: bytes


def recorded(dialect: str, name: str) -> Recorded:
    """Some were recorded without their head."""
    raw = (FOLDER / dialect / f"{name}.raw").read_bytes()
    if not raw.startswith(b"HTTP/"):
        return Recorded({}, raw)
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    lines = head.decode().split("\r\n")[1:]
    return Recorded({name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], EngineProcess]]:
    started: dict[str, EngineProcess] = {}

    def engine(dialect: str) -> EngineProcess:
        if dialect not in started:
            started[dialect] = EngineProcess(tmp_path_factory.mktemp(dialect), "--dialect", dialect)
        return started[dialect]

    yield engine
    for process in started.values():
        process.close()


def asked(case: Case) -> Way:
    # Long enough that what is to be cut is not over before, however late the cut comes on a busy machine.
    tokens = 2 if case.dialect == "fastchat" and case.end != "cut" else 32
    way = ways(case.dialect, prompt="Repeat exactly: sun moon star", max_tokens=tokens)
    return Way(way[case.place].path, way[case.place].body | {"stream": case.stream}, way[case.place].framing)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.dialect}-{case.name}")
def test_the_answer_has_the_recorded_form(engines: Callable[[str], EngineProcess], case: Case) -> None:
    engine, way, known = engines(case.dialect), asked(case), recorded(case.dialect, case.name)
    if case.fault:
        engine.order(case.fault, case.argument)
    try:
        reply = ask(engine, way, silence=SILENCE_SECONDS if case.end == "open" else 20)
    finally:
        engine.lift()
    assert reply.end == case.end
    if known.headers:
        assert _fixed(reply.headers) == _fixed(known.headers)
    if known.body.startswith((b"{", b"data")) and case.stream:
        assert forms(reply, way.framing) == forms(Reply(body=known.body), way.framing)
    elif known.body.startswith(b"{"):
        assert json.dumps(shape(reply.json)) == json.dumps(shape(json.loads(known.body)))
    else:
        assert reply.body.strip() == known.body.strip()


def forms(reply: Reply, framing: str) -> list[str]:
    """The shapes of the events in their order, each once however often it is repeated."""
    found: list[str] = []
    for event in reply.events(framing):
        form = event if event == "[DONE]" else json.dumps(_opened(json.loads(event)))
        if form not in found[-1:]:
            found.append(form)
    return found


def _opened(event: Any) -> Any:
    """LazyLLM's messages are JSON inside JSON; the last of several in one event stands for all."""
    if isinstance(event, dict) and "raw" in event:
        return shape(event | {"raw": shape(json.loads(event["raw"][-1])).get("tag")})
    return shape(event)


def _fixed(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in VARIABLE_HEADERS}


@pytest.mark.parametrize(
    ("dialect", "name", "method", "path"),
    [
        ("fastchat", "worker_get_status", "POST", "/worker_get_status"),
        ("dbgpt", "model_metadata", "POST", "/api/worker/model_metadata"),
        ("dbgpt", "controller_models", "GET", "/api/controller/models"),
    ],
)
def test_status_answers_have_the_recorded_fields(
    engines: Callable[[str], EngineProcess], dialect: str, name: str, method: str, path: str
) -> None:
    answer = get(engines(dialect), path, method=method).json
    assert json.dumps(shape(answer)) == json.dumps(shape(json.loads(recorded(dialect, name).body)))


@pytest.mark.parametrize(
    ("dialect", "name", "path"),
    [("fastchat", "worker_generate", "/worker_generate"), ("dbgpt", "generate", "/api/worker/generate")],
)
def test_whole_answers_of_workers_have_the_recorded_fields(
    engines: Callable[[str], EngineProcess], dialect: str, name: str, path: str
) -> None:
    body = ways(dialect, prompt="Repeat exactly: sun moon star", max_tokens=2)[0].body
    reply = ask(engines(dialect), Way(path, body, "nul"))
    assert json.dumps(shape(reply.json)) == json.dumps(shape(json.loads(recorded(dialect, name).body)))


def test_chatchat_ends_its_lines_as_recorded(engines: Callable[[str], EngineProcess]) -> None:
    body = ask(engines("chatchat"), ways("chatchat")[0]).body
    known = recorded("chatchat", "good_stream").body
    assert body.endswith(b"}\r\n\r\n")
    assert known.endswith(b"}\r\n\r\n")
