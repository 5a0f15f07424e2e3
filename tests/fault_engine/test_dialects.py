"""Each dialect as a process: one good stream in each of its ways, its end, its status, and its refusals."""

import json
from collections.abc import Callable, Iterator

import pytest

from e2e.fault_engine.dialects import DIALECTS
from e2e.fault_engine.settings import read_settings
from tests.fault_engine.process import EngineProcess, eventually
from tests.fault_engine.wire import ANSWER, Connection, ask, get, text_of, ways

# The last event of a good stream: its text, or the field by which the end is known.
ENDS = {
    ("sglang", "/generate"): "[DONE]",
    ("llamacpp", "/completion"): "stop",
    ("tgi", "/generate_stream"): "generated_text",
    ("ollama", "/api/generate"): "done",
    ("ollama", "/api/chat"): "done",
    ("fastchat", "/worker_generate_stream"): "finish_reason",
    ("dbgpt", "/api/worker/generate_stream"): "content",
    ("chatchat", "/v1/chat/completions"): "choices",
    ("chatchat", "/chat/chat/completions"): "choices",
}
CONTENT_TYPES = {"sse": "text/event-stream; charset=utf-8", "lines": "application/x-ndjson", "nul": None}
SETTINGS = read_settings([], {"VLLM_SERVER_DEV_MODE": "1"})
ALL_WAYS = [(dialect, place) for dialect in DIALECTS for place in range(len(ways(dialect)))]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], EngineProcess]]:
    """One process for each dialect, started when it is asked for."""
    started: dict[str, EngineProcess] = {}

    def engine(dialect: str) -> EngineProcess:
        if dialect not in started:
            folder = tmp_path_factory.mktemp(dialect)
            started[dialect] = process = EngineProcess(folder, "--dialect", dialect, "--token-seconds", "0.002")
            eventually(lambda: get(process, "/").status != 503)  # llama.cpp shows that it loads
        return started[dialect]

    yield engine
    for process in started.values():
        process.close()


@pytest.mark.parametrize(("dialect", "place"), ALL_WAYS, ids=str)
def test_a_good_stream_says_what_was_asked_and_ends_as_the_dialect_does(
    engines: Callable[[str], EngineProcess], dialect: str, place: int
) -> None:
    way = ways(dialect)[place]
    reply = ask(engines(dialect), way)
    assert (reply.status, reply.end) == (200, "whole")
    assert reply.headers.get("content-type") == CONTENT_TYPES[way.framing]
    assert text_of(dialect, way, reply) == ANSWER
    last, end = reply.events(way.framing)[-1], ENDS.get((dialect, way.path), "[DONE]")
    if end == "[DONE]":
        assert last == end
    else:
        assert end in json.loads(last)
        assert b"[DONE]" not in reply.body
    if way.framing == "nul":
        assert reply.body.endswith(b"\0")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_asked_twice_is_answered_alike(engines: Callable[[str], EngineProcess], dialect: str) -> None:
    way = ways(dialect, prompt="tell of the sea", max_tokens=12)[0]
    first, second = (text_of(dialect, way, ask(engines(dialect), way)) for _ in range(2))
    assert first == second
    assert len(first.split()) == 12


FINISHES = {
    "fastchat": lambda events: events[-1]["finish_reason"],
    "ollama": lambda events: events[-1]["done_reason"],
    "sglang": lambda events: events[-1]["meta_info"]["finish_reason"]["type"],
    "llamacpp": lambda events: events[-1]["stop_type"],
    "tgi": lambda events: events[-1]["details"]["finish_reason"],
    "vllm": lambda events: events[-1]["choices"][0]["finish_reason"],
    "openai": lambda events: events[-1]["choices"][0]["finish_reason"],
    "chatchat": lambda events: events[-1]["choices"][0]["finish_reason"],
}
LENGTHS = {"llamacpp": ("eos", "limit"), "tgi": ("eos_token", "length")}


@pytest.mark.parametrize("dialect", FINISHES)
def test_the_reason_tells_an_own_end_from_the_limit(engines: Callable[[str], EngineProcess], dialect: str) -> None:
    found = []
    for limit in (32, 2):
        way = ways(dialect, max_tokens=limit)[0]
        found.append(FINISHES[dialect](ask(engines(dialect), way).documents(way.framing)))
    assert tuple(found) == LENGTHS.get(dialect, ("stop", "length"))


STATUS = {
    "vllm": [("GET", "/health"), ("GET", "/metrics"), ("GET", "/load"), ("GET", "/is_sleeping"), ("GET", "/v1/models")],
    "sglang": [
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("GET", "/server_info"),
        ("GET", "/v1/loads"),
        ("GET", "/get_load"),
        ("POST", "/flush_cache"),
        ("GET", "/v1/models"),
    ],
    "llamacpp": [("GET", "/health"), ("GET", "/slots"), ("GET", "/props"), ("GET", "/metrics"), ("GET", "/v1/models")],
    "tgi": [("GET", "/health"), ("GET", "/info"), ("GET", "/metrics")],
    "ollama": [("GET", "/"), ("GET", "/api/version"), ("GET", "/api/ps"), ("GET", "/api/tags"), ("GET", "/v1/models")],
    "fastchat": [("POST", "/worker_get_status"), ("POST", "/model_details"), ("GET", "/v1/models")],
    "dbgpt": [
        ("POST", "/api/worker/model_metadata"),
        ("GET", "/api/health"),
        ("GET", "/api/controller/models"),
        ("GET", "/openapi.json"),
    ],
    "lazyllm": [("GET", "/openapi.json")],
    "chatchat": [("GET", "/docs"), ("GET", "/v1/models")],
    "openai": [("GET", "/v1/models")],
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_status_endpoints_answer(engines: Callable[[str], EngineProcess], dialect: str) -> None:
    found = {path: get(engines(dialect), path, method=method).status for method, path in STATUS[dialect]}
    assert found == dict.fromkeys((path for _, path in STATUS[dialect]), 200)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_what_the_dialect_has_is_there(engines: Callable[[str], EngineProcess], dialect: str) -> None:
    everywhere = {path for paths in STATUS.values() for _, path in paths}
    own = {path for _, path in DIALECTS[dialect].routes(SETTINGS)}
    for path in sorted(everywhere - own):
        assert get(engines(dialect), path).status == 404, path


def test_sglang_counts_tokens_at_the_end_and_steps_at_once(engines: Callable[[str], EngineProcess]) -> None:
    engine = engines("sglang")
    before = _series(engine, "sglang:generation_tokens_total")
    way = ways("sglang", prompt="tell of the hill", max_tokens=2000, ignore_eos=True)[1]
    connection = Connection(engine, "POST", way.path, way.body)
    connection.read(enough=2000)
    assert _series(engine, "sglang:num_running_reqs") == 1
    assert _series(engine, "sglang:generation_tokens_total") == before
    assert _series(engine, "sglang:realtime_tokens_total", 'mode="decode"') > 0
    connection.close()


def _series(engine: EngineProcess, name: str, label: str = "") -> float:
    lines = get(engine, "/metrics").body.decode().splitlines()
    return next(
        float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")) and label in line
    )


def test_llamacpp_shows_the_progress_of_a_slot(engines: Callable[[str], EngineProcess]) -> None:
    engine = engines("llamacpp")
    way = ways("llamacpp", prompt="tell of the hill", max_tokens=2000, ignore_eos=True)[0]
    connection = Connection(engine, "POST", way.path, way.body)
    connection.read(enough=500)
    busy = [slot for slot in get(engine, "/slots").json if slot["is_processing"]]
    assert len(busy) == 1
    assert busy[0]["next_token"][0]["n_decoded"] > 0
    connection.close()


def test_ollama_unloads_and_loads(engines: Callable[[str], EngineProcess]) -> None:
    engine = engines("ollama")
    unloaded = get(engine, "/api/generate", method="POST", model="tiny", keep_alive=0)
    assert (unloaded.status, unloaded.json["done_reason"]) == (200, "unload")
    assert get(engine, "/api/ps").json == {"models": []}
    ask(engine, ways("ollama")[0])
    assert [model["name"] for model in get(engine, "/api/ps").json["models"]] == ["tiny:latest"]


def test_tgi_turns_away_what_it_has_no_permit_for(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--dialect", "tgi", "--max-concurrent-requests", "1")
    way = ways("tgi", prompt="tell of the hill", max_tokens=2000)[1]
    busy = Connection(engine, "POST", way.path, way.body | {"ignore_eos": True})
    busy.read(enough=1)
    assert ask(engine, way).status == 429
    busy.close()


def test_fastchat_counts_users_and_waiters_and_keeps_those_that_left(
    start_engine: Callable[..., EngineProcess],
) -> None:
    engine = start_engine("--dialect", "fastchat", "--limit-worker-concurrency", "1", "--fault", "stall-after=1")
    way = ways("fastchat")[0]
    busy = Connection(engine, "POST", way.path, way.body)
    busy.read(enough=1)
    waiting = Connection(engine, "POST", way.path, way.body)
    assert waiting.read(silence=0.3).raw == b""  # not even headers
    waiting.close()

    def length() -> int:
        return int(get(engine, "/worker_get_status", method="POST").json["queue_length"])

    assert length() == 2
    busy.close()


def test_dbgpt_metadata_waits_for_a_permit(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--dialect", "dbgpt", "--max-concurrent-requests", "1", "--fault", "stall-after=1")
    way = ways("dbgpt")[0]
    busy = Connection(engine, "POST", way.path, way.body)
    busy.read(enough=1)
    assert get(engine, "/api/worker/model_metadata", method="POST", silence=0.3).raw == b""
    second = ask(engine, way, silence=0.3)
    assert (second.status, second.body) == (200, b"")
    assert get(engine, "/api/health").json == {"status": "ok"}
    busy.close()
    assert get(engine, "/api/worker/model_metadata", method="POST").status == 200


def test_llamacpp_says_503_while_it_loads(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--dialect", "llamacpp", "--fault", "slow-start=3600")
    assert get(engine, "/health").status == 503
    assert get(engine, "/v1/models").json["error"]["message"] == "Loading model"
    engine.lift()
    way = ways("llamacpp")[0]
    eventually(lambda: get(engine, "/health").status == 200)
    assert text_of("llamacpp", way, ask(engine, way)) == ANSWER


@pytest.mark.parametrize("kind", ["base", "tiny-random", "reasoning"])
def test_kinds_of_models(start_engine: Callable[..., EngineProcess], kind: str) -> None:
    engine = start_engine("--model-kind", kind, "--token-seconds", "0.002")
    way = ways("vllm", max_tokens=40)[1]
    reply = ask(engine, way)
    choices = [document["choices"][0] for document in reply.documents("sse")]
    text = text_of("vllm", way, reply)
    reasoning = "".join(choice["delta"].get("reasoning", "") for choice in choices)
    finish = choices[-1]["finish_reason"]
    if kind == "reasoning":
        assert (text, finish, len(reasoning.split())) == (ANSWER, "stop", 12)
    else:
        assert (ANSWER in text, finish, reasoning) == (False, "length", "")
        assert (len(set(text.split())) <= 3) == (kind == "tiny-random")


def test_noise_moves_the_numbers_and_sometimes_the_words(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--logprob-noise", "0.5", "--token-seconds", "0.001")
    way = ways("vllm", prompt="tell of the sea", max_tokens=60, stream=False, logprobs=1, ignore_eos=True)[0]
    answers = [ask(engine, way).json["choices"][0] for _ in range(3)]
    assert len({answer["text"] for answer in answers}) > 1
    assert len({answer["logprobs"]["token_logprobs"][0] for answer in answers}) == 3
