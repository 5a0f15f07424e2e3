"""Every fault is seen on the wire, in every dialect that it is for."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from e2e.fault_engine.dialects import DIALECTS
from e2e.fault_engine.faults import FAULTS
from tests.fault_engine import scenes
from tests.fault_engine.process import EngineProcess, eventually, http
from tests.fault_engine.scenes import Play, Scene
from tests.fault_engine.wire import ANSWER, PROMPT, get

# Faults that can be lifted again, so that one process of a dialect shows them all. A number is the argument.
PLAYS: dict[str, tuple[Play, float | None]] = {
    "hang": (scenes.silent, None),
    "hang-when-health-lies": (scenes.silent, None),
    "stall-after": (scenes.stalls(2), 2),
    "header-only": (scenes.silent, None),
    "lost-requests": (scenes.silent, 1),
    "lost-and-uncounted": (scenes.stalls(3), None),
    "admission-stall": (scenes.silent, None),
    "queue-only-grows": (scenes.silent, None),
    "passes-ping-fails-traffic": (scenes.silent, None),
    "api-server-freeze": (scenes.silent, None),
    "stuck-stopping": (scenes.silent, None),
    "asleep-unsaid": (scenes.silent, None),
    "first-token-slows": (scenes.silent, 3600),
    "completions-fail": (scenes.refused(500), None),
    "sick-in-a-running-container": (scenes.refused(500), None),
    "out-of-memory": (scenes.refused(500), None),
    "gateway-saturated": (scenes.refused(500), None),
    "beyond-limit": (scenes.beyond, None),
    "no-stop": (scenes.never_stops, None),
    "endless-whitespace": (scenes.says(" \n"), None),
    "no-finish": (scenes.finish_null, None),
    "finish-null": (scenes.finish_null, None),
    "finish-hides-length": (scenes.hides_length, None),
    "closes-in-the-middle": (scenes.finish_null, None),
    "answer-cut": (scenes.one_word, None),
    "no-terminator": (scenes.stays_open, None),
    "cut-body": (scenes.cut, None),
    "empty-choices": (scenes.empty_choices, None),
    "error-inside": (scenes.error_inside, None),
    "upstream-failed": (scenes.error_before_anything, None),
    "null-body": (scenes.cut, None),
    "wrong-usage": (scenes.wrong_usage, None),
    "repeat": (scenes.says("!"), None),
    "one-token": (scenes.says("the"), None),
    "drift": (scenes.another_answer, None),
    "drift-slightly": (scenes.drifts_somewhere, None),
    "gibberish": (scenes.another_answer, None),
    "broken-numbers": (scenes.disturbs_numbers, None),
    "poisoned-cache": (scenes.wrong_on_an_old_hit, None),
    "cache-hit-corrupts": (scenes.wrong_on_every_hit, None),
    "cross-talk": (scenes.mixes, None),
    "cross-talk-when-many": (scenes.unmixed, None),
    "shared-queue": (scenes.mixes, None),
    "stale-bleed": (scenes.bleeds, None),
    "slow-health": (scenes.healthy, 0.3),
    "health-fails-when-busy": (scenes.health_fails, 0.01),
    "jit-stall": (scenes.silent_on_a_long_prompt, 3600),
    "long-prefill": (scenes.silent_on_a_long_prompt, 3600),
    "slow": (scenes.silent, 3600),
    "queue-full": (scenes.refused(503), None),
    "rejects": (scenes.refused(403), 403),
    "comments": (scenes.comments, 0.05),
    "paused-by-somebody": (scenes.silent, None),
    "asleep-by-somebody": (scenes.silent, None),
    "unloaded": (scenes.unloaded, None),
    "metrics-fail": (scenes.page_is(500, b"Internal Server Error"), None),
    "metrics-garbage": (scenes.page_is(200, b"Welcome"), None),
    "metrics-silent": (scenes.page_is_silent, None),
    "running-stuck": (scenes.healthy, None),
    "cache-held": (scenes.healthy, None),
}
# Without an effect of their own: an option or traffic makes them, and other tests show those.
NO_EFFECT = {name for name, entry in FAULTS.items() if not entry.effects}


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], EngineProcess]]:
    started: list[EngineProcess] = []

    def engine(dialect: str) -> EngineProcess:
        arguments = ("--dialect", dialect, "--token-seconds", "0.002", "--prefill-token-seconds", "0")
        started.append(EngineProcess(tmp_path_factory.mktemp(dialect), *arguments))
        eventually(lambda: get(started[-1], "/").status != 503)
        return started[-1]

    yield engine
    for process in started:
        process.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_fault_of_a_dialect_is_seen_and_goes(engines: Callable[[str], EngineProcess], dialect: str) -> None:
    engine = engines(dialect)
    unseen: dict[str, str] = {}
    for name, (play, argument) in PLAYS.items():
        if dialect in FAULTS[name].dialects:
            try:
                play(Scene(engine, dialect, name, argument))
                engine.lift()
                eventually(Scene(engine, dialect, name).is_well)
            except (AssertionError, OSError, ValueError, LookupError) as error:
                unseen[name] = repr(error)
                engine.lift()
    assert unseen == {}


@pytest.fixture
def stage(start_engine: Callable[..., EngineProcess]) -> Callable[..., Scene]:
    """An engine of its own for a fault that leaves something broken."""

    def scene(dialect: str, name: str, argument: float | None = None, slots: int = 2) -> Scene:
        limits = ("--max-num-seqs", str(slots), "--token-seconds", "0.002")
        engine = start_engine("--dialect", dialect, *limits)
        eventually(lambda: get(engine, "/").status != 503)
        made = Scene(engine, dialect, name, argument)
        made.order()
        return made

    return scene


LEAKY = ("vllm", "llamacpp", "ollama", "fastchat", "dbgpt")  # of each sort one: the slots are the same in all
LEAKS = [(name, dialect) for name in ("leak-on-abort", "leak-on-finish") for dialect in LEAKY]


@pytest.mark.parametrize(("name", "dialect"), LEAKS)
def test_leaked_slots_do_not_come_back(stage: Callable[..., Scene], name: str, dialect: str) -> None:
    scene = stage(dialect, name)
    for _ in range(2):
        connection = scene.open("tell of the sea", 3 if name == "leak-on-finish" else scenes.LONG)
        connection.read(enough=10)
        if name == "leak-on-finish":
            connection.read()
        connection.close()
    eventually(lambda: not scene.is_well())
    if dialect == "fastchat":
        assert get(scene.engine, "/worker_get_status", method="POST").json["queue_length"] >= 2
    if dialect == "dbgpt":
        assert get(scene.engine, "/api/worker/model_metadata", method="POST", silence=0.3).raw == b""
    if dialect == "llamacpp":
        assert all(slot["is_processing"] for slot in get(scene.engine, "/slots").json)
    if dialect == "vllm":
        assert scene.engine.metric("num_requests_running") == 2
        assert http.post(f"{scene.engine.url}/reset_prefix_cache").json() == {"success": False}


@pytest.mark.parametrize("dialect", FAULTS["leak-on-error"].dialects)
def test_a_leak_on_error(stage: Callable[..., Scene], dialect: str) -> None:
    scene = stage(dialect, "leak-on-error", 1)
    assert [scene.ask().end for _ in range(2)] == ["cut", "cut"]
    assert not scene.is_well()


@pytest.mark.parametrize("dialect", ["dbgpt", "fastchat", "vllm"])
def test_a_blocked_thread_keeps_its_slot_without_a_client(stage: Callable[..., Scene], dialect: str) -> None:
    scene = stage(dialect, "blocked-thread", 2)
    for _ in range(2):
        connection = scene.open()
        connection.read(enough=1)
        connection.close()
    assert not scene.is_well()
    assert not scene.is_well()


@pytest.mark.parametrize("dialect", ["vllm", "llamacpp", "sglang"])
def test_tokens_for_nobody(stage: Callable[..., Scene], dialect: str) -> None:
    scene = stage(dialect, "tokens-for-nobody")
    connection = scene.open("tell of the sea", 500)
    connection.read(enough=100)
    connection.close()
    series = {"vllm": "vllm:generation_tokens_total", "sglang": "sglang:realtime_tokens_total{mode=decode}"}
    name = series.get(dialect, "llamacpp:n_decode_total")
    before = _series(scene.engine, name)
    eventually(lambda: _series(scene.engine, name) > before + 600)
    assert [event["cut"] for event in scene.engine.events("finished") if event["request_id"]] == [True]


def _series(engine: EngineProcess, name: str) -> float:
    name, _, label = name.partition("{")
    lines = [line.replace('"', "") for line in get(engine, "/metrics").body.decode().splitlines()]
    return next(float(line.split()[-1]) for line in lines if line.startswith(name) and label.rstrip("}") in line)


@pytest.mark.parametrize("dialect", ["vllm", "llamacpp", "sglang"])
def test_one_that_runs_on_beside_others_that_are_well(stage: Callable[..., Scene], dialect: str) -> None:
    scene = stage(dialect, "runs-on")
    connection = scene.open("tell of the sea", 5)
    connection.read(enough=100)
    connection.close()
    series = {"vllm": "vllm:generation_tokens_total", "sglang": "sglang:realtime_tokens_total{mode=decode}"}
    name = series.get(dialect, "llamacpp:n_decode_total")
    before = _series(scene.engine, name)
    assert scene.is_well()
    eventually(lambda: _series(scene.engine, name) > before + 600)
    assert scene.is_well()


def test_starvation(stage: Callable[..., Scene]) -> None:
    scene = stage("vllm", "starvation", slots=8)
    first = scene.open("tell of the sea", 5)
    first.read(enough=100)
    second = scene.open(PROMPT)
    assert second.read(silence=scenes.SILENCE_SECONDS).body == b""
    assert (scene.engine.metric("num_requests_running"), scene.engine.metric("num_requests_waiting")) == (1, 1)
    before = scene.engine.metric("generation_tokens_total")
    eventually(lambda: scene.engine.metric("generation_tokens_total") > before + 20)
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("name", "argument"), [("hang-after-requests", 2), ("drift-after-requests", 2), ("repeat-after-long-prompt", 200)]
)
def test_faults_that_begin_later(stage: Callable[..., Scene], name: str, argument: float) -> None:
    scene = stage("vllm", name, argument)
    assert [scene.is_well() for _ in range(2)] == [True, True]
    if name == "repeat-after-long-prompt":
        scene.ask("sea " * 300, 1)
    assert [scene.is_well() for _ in range(2)] == [False, False]


@pytest.mark.parametrize("name", ["hang-after-idle", "sleep-race", "die-after-idle"])
def test_faults_that_begin_after_idleness(stage: Callable[..., Scene], name: str) -> None:
    scene = stage("llamacpp", name, 0.001)
    assert scene.is_well()
    if name == "die-after-idle":
        connection = scene.open()
        assert connection.read().end == "cut" or connection.reply.status == 500
        connection.close()
        assert scene.engine.exit_code() == 0
        return
    waiting = scene.open(PROMPT, 32)
    assert waiting.read(silence=scenes.SILENCE_SECONDS).raw == b""
    if name == "sleep-race":
        assert scene.is_well()
        assert scene.text(waiting.read()) == ANSWER
    else:
        assert not scene.is_well()
    waiting.close()


@pytest.mark.parametrize("dialect", ["vllm", "fastchat"])
def test_death(stage: Callable[..., Scene], dialect: str) -> None:
    assert stage(dialect, "die").engine.exit_code() == 0


@pytest.mark.parametrize("dialect", ["sglang", "llamacpp", "dbgpt", "lazyllm", "chatchat"])
def test_death_that_the_server_outlives(stage: Callable[..., Scene], dialect: str) -> None:
    scene = stage(dialect, "die-keepalive")
    eventually(lambda: not scene.is_well())
    reply = scene.ask()
    assert reply.status in (200, 500)
    assert ANSWER not in reply.body.decode()
    # Where the header is out before the engine is asked, the error is told inside the stream, and ends it.
    assert reply.end != "cut"
    assert "EngineCore" in reply.body.decode() or dialect == "chatchat"


def test_a_runaway_that_dies(stage: Callable[..., Scene]) -> None:
    scene = stage("vllm", "runaway-then-dies", 0.5)
    reply = scene.ask(max_tokens=2)
    assert len(scene.text(reply).split()) > 2
    assert scene.engine.exit_code() == 0


SLEEPS = {
    "vllm": ("/sleep?level=1", "/wake_up"),
    "sglang": ("/release_memory_occupation", "/resume_memory_occupation"),
}
AFTER_WAKE = ["repeat-after-wake", "gibberish-after-wake", "drift-after-wake", "stale-cache-after-wake"]


@pytest.mark.parametrize("dialect", SLEEPS)
@pytest.mark.parametrize("name", [*AFTER_WAKE, "wake-error", "wake-silent"])
def test_wakes(stage: Callable[..., Scene], name: str, dialect: str) -> None:
    scene = stage(dialect, name)
    prompt = scenes.LONG_PROMPT
    right = scene.text(scene.ask(prompt))
    sleep, wake = SLEEPS[dialect]
    assert get(scene.engine, sleep, method="POST").status == 200
    if dialect == "vllm":
        assert http.get(f"{scene.engine.url}/is_sleeping").json()["is_sleeping"]
    woken = get(scene.engine, wake, method="POST").status
    if name in AFTER_WAKE:
        assert woken == 200
        assert scene.text(scene.ask(prompt)) != right
        assert scene.is_well() == (name == "stale-cache-after-wake")
    else:
        assert woken == (500 if name == "wake-error" else 200)
        assert not scene.is_well()
    if dialect == "vllm":
        asleep = http.get(f"{scene.engine.url}/is_sleeping").json()["is_sleeping"]
        assert asleep == (name == "wake-error")
        counted = f'handler="{wake}",method="POST",status="{"5" if name == "wake-error" else "2"}xx"}} 1.0'
        assert counted in http.get(f"{scene.engine.url}/metrics").text


def test_a_flush_cures_a_stale_cache(stage: Callable[..., Scene]) -> None:
    scene = stage("vllm", "stale-cache-after-wake")
    prompt = scenes.LONG_PROMPT
    right = scene.text(scene.ask(prompt))
    for call in (*SLEEPS["vllm"], "/reset_prefix_cache"):
        assert http.post(scene.engine.url + call).status_code == 200
    assert [scene.text(scene.ask(prompt)) for _ in range(2)] == [right, right]


def test_cross_talk_of_many(stage: Callable[..., Scene]) -> None:
    scene = stage("vllm", "cross-talk-when-many", 3, slots=8)
    words = ("sun", "moon", "star")
    texts = [
        scene.text(reply) for reply in scenes.together(scene, [f"Repeat exactly: {f'{word} ' * 30}" for word in words])
    ]
    assert any(set(text.split()) != {word} for word, text in zip(words, texts, strict=True))


def test_slow_start_is_shown_by_its_own_test_and_nothing_is_left_out() -> None:
    apart = {"slow-start", "leak-on-abort", "leak-on-finish", "leak-on-error", "blocked-thread", "tokens-for-nobody"}
    apart |= {
        "runs-on",
        "starvation",
        "hang-after-requests",
        "hang-after-idle",
        "drift-after-requests",
        "sleep-race",
        "die",
    }
    apart |= {"repeat-after-long-prompt", "die-after-idle", "die-keepalive", "runaway-then-dies", "wake-error"}
    apart |= {*AFTER_WAKE, "wake-silent"}
    assert PLAYS.keys() | apart | NO_EFFECT == FAULTS.keys()


def test_the_gauges_say_what_they_are_told_to(stage: Callable[..., Scene]) -> None:
    scene = stage("vllm", "running-stuck", 3, slots=8)
    eventually(lambda: scene.engine.metric("num_requests_running") == 3)
    scene.engine.order("cache-held", 0.5)
    eventually(lambda: scene.engine.metric("kv_cache_usage_perc") == 0.5)
    assert scene.is_well()


def test_a_stopped_core_is_the_same_in_every_dialect(stage: Callable[..., Scene]) -> None:
    scene = stage("ollama", "slow", 0)
    os.kill(scene.engine.core_pid, signal.SIGSTOP)
    assert not scene.is_well()
    assert get(scene.engine, "/").status == 200
    os.kill(scene.engine.core_pid, signal.SIGCONT)
    assert scene.is_well()
