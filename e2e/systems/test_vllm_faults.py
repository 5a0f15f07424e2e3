"""vLLM as it is: good streams, and each fault as a client sees it. No watchdog here."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from e2e.systems.talking import End, Reply, get, wait_for
from e2e.systems.vllm import KEEP_ALIVE, Vllm, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.systems.conftest import Start

pytestmark = [pytest.mark.systems, pytest.mark.large]

PROMPT = "def main(argv):"


@pytest.fixture(scope="module")
def system(start: Start[Vllm], tmp_path_factory: pytest.TempPathFactory) -> Vllm:
    return start(running(tmp_path_factory.mktemp("vllm"), KEEP_ALIVE))


@pytest.fixture
def vllm(system: Vllm) -> Iterator[Vllm]:
    """Whole before and after each case."""
    yield system
    system.restore()


def said(reply: Reply) -> str:
    return "".join(event["choices"][0]["text"] for event in reply.sse_objects() if event["choices"])


def test_a_good_stream_is_the_same_each_time(vllm: Vllm) -> None:
    replies = [vllm.complete(PROMPT) for _ in range(3)]
    assert {reply.end for reply in replies} == {End.WHOLE}
    assert {reply.sse_data()[-1] for reply in replies} == {"[DONE]"}
    assert len({said(reply) for reply in replies}) == 1
    assert said(replies[0])


def test_noise_on_the_weights_changes_the_text_and_nothing_else(vllm: Vllm) -> None:
    good = said(vllm.complete(PROMPT))
    vllm.inside("noise", scale=0.05)
    reply = vllm.complete(PROMPT)
    assert (reply.status, reply.end) == (200, End.WHOLE)
    assert said(reply) != good
    assert get(f"{vllm.url}/health").status == 200
    vllm.inside("end")
    assert said(vllm.complete(PROMPT)) == good


def test_nan_weights_are_a_client_error_or_null_numbers(vllm: Vllm) -> None:
    vllm.inside("fill", value="nan", match="model.norm")
    whole = vllm.complete(PROMPT, stream=False, logprobs=1)
    assert whole.status == 400
    assert "not JSON compliant" in whole.json()["error"]["message"]
    streamed = vllm.complete(PROMPT, logprobs=1)
    numbers = [event["choices"][0]["logprobs"]["token_logprobs"] for event in streamed.sse_objects()]
    assert streamed.status == 200
    assert {number for part in numbers for number in part} == {None}
    assert get(f"{vllm.url}/health").status == 200


def test_zero_weights_make_all_tokens_equally_likely(vllm: Vllm) -> None:
    vllm.inside("fill", value="0", match="model.norm")
    reply = vllm.complete(PROMPT, stream=False, logprobs=1)
    assert len({round(number, 4) for number in reply.json()["choices"][0]["logprobs"]["token_logprobs"]}) == 1


def test_a_slow_step_slows_the_stream(vllm: Vllm) -> None:
    vllm.inside("slow", seconds=0.5)
    assert vllm.complete(PROMPT, max_tokens=8, seconds=0.4).end is End.SILENT
    assert said(vllm.complete(PROMPT, max_tokens=3))


@pytest.mark.parametrize("number", [signal.SIGSTOP, None], ids=["core stopped", "worker blocked"])
def test_a_hang_is_a_200_without_a_token(vllm: Vllm, number: signal.Signals | None) -> None:
    if number is None:
        vllm.hang(4)
    else:
        vllm.signal_core(number)
    reply = vllm.complete(PROMPT, seconds=1)
    assert (reply.status, reply.end, reply.body) == (200, End.SILENT, b"")
    assert get(f"{vllm.url}/health").status == 200
    if number is not None:
        vllm.signal_core(signal.SIGCONT)
    wait_for("it goes on", lambda: vllm.complete(PROMPT).end is End.WHOLE)


@pytest.mark.parametrize(("begin", "end"), [("/pause", "/resume"), ("/sleep?level=1", "/wake_up")])
def test_paused_or_asleep_it_is_healthy_and_silent(vllm: Vllm, begin: str, end: str) -> None:
    assert vllm.order(begin).status == 200
    assert vllm.complete(PROMPT, seconds=1).end is End.SILENT
    assert get(f"{vllm.url}/health").status == 200
    assert vllm.order(end).status == 200
    assert vllm.complete(PROMPT).end is End.WHOLE


def test_a_dead_core_behind_a_server_that_stays(vllm: Vllm) -> None:
    vllm.signal_core(signal.SIGKILL)
    wait_for("the server knows", lambda: get(f"{vllm.url}/health").status == 503)
    assert vllm.complete(PROMPT).status == 500
    assert vllm.program.code is None
