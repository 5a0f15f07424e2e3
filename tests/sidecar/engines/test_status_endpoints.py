"""How status endpoints are asked: older names, what an engine does not offer, and silence."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import httpx
import pytest

from llm_watchdog.core.observations import AnswerKind, StatusReading
from llm_watchdog.engines.llamacpp import LlamaCpp
from llm_watchdog.engines.ollama import Ollama
from llm_watchdog.engines.sglang import SGLang
from llm_watchdog.engines.vllm import Vllm
from llm_watchdog.probes.endpoints import GATED_SECONDS, Endpoints
from llm_watchdog.probes.engine_client import EngineClient
from tests.sidecar.engines import pages

if TYPE_CHECKING:
    from llm_watchdog.engines.dialect import Dialect

pytestmark = pytest.mark.looptime


class Server:
    """Answers by path; anything else is not found. None: no answer ever."""

    def __init__(self, answers: dict[str, httpx.Response | None]) -> None:
        self.answers = answers
        self.asked: Counter[str] = Counter()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked[path] += 1
        answer = self.answers.get(path, httpx.Response(404))
        if answer is None:
            await asyncio.Event().wait()
            raise AssertionError
        return httpx.Response(answer.status_code, content=answer.content)


def now() -> float:
    return asyncio.get_running_loop().time()


def endpoints(dialect: Dialect, server: Server) -> Endpoints:
    return Endpoints(EngineClient(8000, lambda: None, httpx.MockTransport(server)), dialect, now, lambda: 0)


async def test_an_older_name_is_asked_where_the_new_one_is_unknown_and_neither_too_often() -> None:
    server = Server({"/get_server_info": httpx.Response(200, content=pages.server_info())})
    asking = endpoints(SGLang(), server)
    call = SGLang().status_calls[0]
    for _ in range(3):
        seen = await asking.status(call, None)
        assert (seen.kind, seen.name, seen.reading) == (AnswerKind.ANSWERED, "server_info", StatusReading(slots=256))
    assert server.asked == {"/server_info": 1, "/get_server_info": 3}
    await asyncio.sleep(GATED_SECONDS)
    await asking.status(call, None)
    assert server.asked == {"/server_info": 2, "/get_server_info": 4}


async def test_an_engine_that_offers_none_of_the_names_is_left_alone() -> None:
    server = Server({})
    asking = endpoints(SGLang(), server)
    kinds = [(await asking.status(call, None)).kind for call in SGLang().status_calls for _ in range(3)]
    assert set(kinds) == {AnswerKind.GATED}
    assert set(server.asked.values()) == {1}


async def test_metrics_that_are_not_switched_on_are_no_fault() -> None:
    asking = endpoints(LlamaCpp(), Server({"/metrics": httpx.Response(501, json={"error": {"code": 501}})}))
    assert (await asking.metrics("/metrics")).kind is AnswerKind.GATED


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, content=b"<html>"), AnswerKind.UNREADABLE),
        (httpx.Response(500), AnswerKind.ANSWERED),
        (httpx.Response(401), AnswerKind.ANSWERED),
        (None, AnswerKind.SILENT),
    ],
)
async def test_what_cannot_be_read_says_nothing(answer: httpx.Response | None, kind: AnswerKind) -> None:
    call = LlamaCpp().status_calls[0]
    seen = await endpoints(LlamaCpp(), Server({"/props": answer})).status(call, None)
    assert (seen.kind, seen.reading) == (kind, None)
    assert seen.seconds == (call.seconds if kind is AnswerKind.SILENT else 0)


async def test_a_shorter_time_out_is_kept() -> None:
    seen = await endpoints(Ollama(), Server({"/api/ps": None})).status(Ollama().status_calls[0], None, seconds=0.5)
    assert (seen.kind, seen.seconds) == (AnswerKind.SILENT, 0.5)


@pytest.mark.parametrize(
    ("loaded", "model", "unloaded"),
    [
        ((), "llama3", True),
        ((), None, True),
        (("llama3:latest",), "llama3", False),
        (("llama3:latest",), "llama3:latest", False),
        (("llama3:latest",), None, False),
        (("llama3:70b",), "llama3", True),
        (("qwen3:latest",), "llama3", True),
    ],
)
async def test_only_the_model_under_watch_counts_as_loaded(
    loaded: tuple[str, ...], model: str | None, *, unloaded: bool
) -> None:
    body = pages.ps(*((name, "2318-09-20T03:47:16Z") for name in loaded))
    asking = endpoints(Ollama(), Server({"/api/ps": httpx.Response(200, content=body)}))
    reading = (await asking.status(Ollama().status_calls[0], model)).reading
    assert reading is not None
    assert reading.unloaded is unloaded


async def test_the_states_are_asked_at_once_so_that_two_silent_ones_cost_one_time_out() -> None:
    began = now()
    seen = await endpoints(Vllm(), Server({"/is_sleeping": None, "/is_paused": None})).state(seconds=0.5)
    assert (seen.kind, seen.asleep, seen.paused, now() - began) == (AnswerKind.SILENT, None, None, 0.5)


@pytest.mark.parametrize(
    ("ready", "info", "paused"),
    [
        (httpx.Response(200), httpx.Response(200), False),
        (httpx.Response(200), None, False),
        (httpx.Response(503), httpx.Response(200, content=pages.server_info()), True),
        # It hangs: the scheduler, which a pause leaves alone, does not answer.
        (httpx.Response(503), None, None),
        (httpx.Response(503), httpx.Response(503), None),
        # Before 0.5.20.
        (httpx.Response(404), httpx.Response(200), None),
        (None, httpx.Response(200), None),
    ],
)
async def test_a_pause_of_sglang_is_told_from_a_hang(
    ready: httpx.Response | None, info: httpx.Response | None, *, paused: bool | None
) -> None:
    seen = await endpoints(SGLang(), Server({"/ready": ready, "/server_info": info})).state()
    assert (seen.asleep, seen.paused) == (None, paused)


SECRET = "sk-credential-of-somebody"


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "cut"])
async def test_what_a_server_tells_of_its_credentials_goes_no_further(status: int, cut: int) -> None:
    """SGLang's `/server_info` holds all that it was started with, its keys too."""
    body = pages.server_info(api_key=SECRET, admin_api_key=SECRET, hf_token=SECRET, error={"message": SECRET})
    answer = httpx.Response(status, content=body[: len(body) - cut])
    asking = endpoints(SGLang(), Server({"/server_info": answer, "/ready": httpx.Response(503)}))
    seen = (await asking.status(SGLang().status_calls[0], None), await asking.state())
    assert SECRET in body.decode()
    assert SECRET not in repr(seen)
