"""SGLang's memory saver: what kills the server, and the one order of calls that does not."""

from collections.abc import Callable

import httpx
import pytest

from tests.fault_engine.process import EngineProcess, eventually, http
from tests.fault_engine.scenes import Scene
from tests.fault_engine.wire import get

Post = tuple[str, dict[str, str]]
PAUSE: Post = ("/pause_generation", {"mode": "abort"})
RELEASE: Post = ("/release_memory_occupation", {})
RESUME: Post = ("/resume_memory_occupation", {})
CONTINUE: Post = ("/continue_generation", {})
FLUSH: Post = ("/flush_cache", {})


@pytest.fixture
def saver(start_engine: Callable[..., EngineProcess]) -> EngineProcess:
    return start_engine("--dialect", "sglang", "--enable-memory-saver", "--token-seconds", "0.005")


def post(engine: EngineProcess, *calls: Post) -> list[int]:
    """Statuses; 0 where it died of the call."""
    statuses = []
    for path, body in calls:
        try:
            statuses.append(http.post(engine.url + path, json=body).status_code)
        except httpx.TransportError:
            statuses.append(0)
    return statuses


def is_dead(engine: EngineProcess) -> bool:
    return engine.process.poll() is not None


def test_it_tells_how_it_was_started(saver: EngineProcess) -> None:
    assert http.get(f"{saver.url}/server_info").json()["enable_memory_saver"] is True


def test_the_order_of_calls_that_it_survives(saver: EngineProcess) -> None:
    assert post(saver, PAUSE, FLUSH, RELEASE) == [200, 200, 200]
    assert get(saver, "/ready").status == 503
    assert post(saver, RESUME, FLUSH) == [200, 200]
    assert get(saver, "/ready").status == 503, "it is paused still"
    assert post(saver, CONTINUE) == [200]
    assert Scene(saver, "sglang", "hang").is_well()


@pytest.mark.parametrize(
    "calls",
    [[RESUME], [PAUSE, RELEASE, RESUME, RESUME], [PAUSE, RELEASE, CONTINUE]],
    ids=["never released", "twice", "goes on while released"],
)
def test_what_kills_it(saver: EngineProcess, calls: list[Post]) -> None:
    assert post(saver, *calls)[-1] != 200
    eventually(lambda: is_dead(saver))


def test_a_release_while_busy_kills_it(saver: EngineProcess) -> None:
    busy = Scene(saver, "sglang", "hang").open()
    busy.read(enough=1)
    assert post(saver, FLUSH) == [400]
    assert post(saver, RELEASE) != [200]
    eventually(lambda: is_dead(saver))
    busy.close()


def test_after_a_pause_nothing_runs_and_the_release_is_safe(saver: EngineProcess) -> None:
    busy = Scene(saver, "sglang", "hang").open()
    busy.read(enough=1)
    assert post(saver, PAUSE, FLUSH, RELEASE) == [200, 200, 200]
    assert not is_dead(saver)
    busy.close()
