"""FastChat as it is: good streams, and each fault as a client sees it. No watchdog here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.systems.fastchat import LIMIT, UNPINNED, FastChat, running
from e2e.systems.talking import End, ask, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.systems.conftest import Start

pytestmark = pytest.mark.systems


@pytest.fixture(scope="module")
def system(start: Start[FastChat], tmp_path_factory: pytest.TempPathFactory) -> FastChat:
    return start(running(tmp_path_factory.mktemp("fastchat")))


@pytest.fixture
def fastchat(system: FastChat) -> Iterator[FastChat]:
    """With a worker whose slots are all free."""
    yield system
    if not system.is_free():
        system.restart_worker()
        system.wait_worker()


def test_a_good_stream_is_cumulative_and_ends_with_a_finish_reason(fastchat: FastChat) -> None:
    reply = fastchat.generate("one two three")
    events = reply.nul_objects()
    assert reply.end is End.WHOLE
    assert [event["text"] for event in events] == ["one ", "one two ", "one two three", "one two three"]
    assert [event["finish_reason"] for event in events] == [None, None, None, "stop"]
    assert fastchat.generate("one two three", max_tokens=2).nul_objects()[-1]["finish_reason"] == "length"
    wait_for("its slot is free", lambda: fastchat.queue_length() == 0)


def test_a_good_stream_of_the_gateway_ends_with_done(fastchat: FastChat) -> None:
    reply = fastchat.chat("one two three")
    texts = [event["choices"][0]["delta"].get("content", "") for event in reply.sse_objects()]
    assert reply.end is End.WHOLE
    assert "".join(texts) == "one two three"
    assert reply.sse_objects()[-1]["choices"][0]["finish_reason"] == "stop"
    assert reply.sse_data()[-1] == "[DONE]"


def test_clients_that_leave_lose_no_slot(fastchat: FastChat) -> None:
    for _ in range(2 * LIMIT):
        with fastchat.opened("word " * 200, max_tokens=200) as stream:
            stream.send()
            stream.read_until(lambda body: b"\0" in body)
    wait_for("all slots are free", lambda: fastchat.queue_length() == 0)


def test_an_exception_in_the_generator_cuts_the_stream_and_loses_the_slot(fastchat: FastChat) -> None:
    reply = fastchat.generate("one fault:raise two")
    assert (reply.status, reply.end) == (200, End.CUT)
    assert len(reply.nul_objects()) == 1
    assert fastchat.queue_length() == 1
    assert fastchat.generate("one two").end is End.WHOLE, "the other slot serves on"
    assert fastchat.queue_length() == 1


def test_a_worker_without_slots_is_silent_and_looks_alive(fastchat: FastChat) -> None:
    for _ in range(LIMIT):
        assert fastchat.leak().end is End.CUT
    reply = fastchat.generate("one two", seconds=1)
    assert (reply.end, reply.status) == (End.SILENT, None)
    assert fastchat.queue_length() == LIMIT + 1, "a client that gives up stays in the queue"
    assert ask(f"{fastchat.controller}/list_models").json() == {"models": ["echo"]}
    assert ask(f"{fastchat.worker}/count_token", {"model": "echo", "prompt": "one two"}).json()["count"] == 2


def test_behind_the_gateway_a_worker_without_slots_sends_a_role_and_is_cut(fastchat: FastChat) -> None:
    for _ in range(LIMIT):
        fastchat.leak()
    reply = fastchat.chat("one two", seconds=20)
    assert (reply.status, reply.end) == (200, End.CUT)
    assert [event["choices"][0]["delta"] for event in reply.sse_objects()] == [{"role": "assistant"}]


def test_a_blocked_thread_holds_its_slot_after_its_client_has_left(fastchat: FastChat) -> None:
    for _ in range(LIMIT):
        fastchat.block_a_thread(2)
    assert fastchat.queue_length() == LIMIT
    assert fastchat.generate("one two", seconds=0.5).end is End.SILENT
    wait_for("the threads have gone on", lambda: fastchat.queue_length() == 0)


def test_slow_embeddings_block_the_whole_worker(fastchat: FastChat) -> None:
    fastchat.block_the_loop(2)
    assert ask(f"{fastchat.worker}/worker_get_status", seconds=0.3).end is End.SILENT
    wait_for("the worker answers again", lambda: ask(f"{fastchat.worker}/worker_get_status").status == 200)


def test_a_worker_killed_in_a_stream_cuts_it_for_the_gateways_client(fastchat: FastChat) -> None:
    with fastchat.opened_chat("word " * 200, max_tokens=200) as stream:
        stream.send()
        stream.read_until(lambda body: body.count(b"word") > 2)
        fastchat.worker_program.kill()
        reply = stream.read_whole()
    assert (reply.status, reply.end) == (200, End.CUT)
    assert "[DONE]" not in reply.sse_data()
    assert fastchat.chat("one two").status == 500


def test_with_pydantic_2_each_stream_of_the_gateway_is_an_empty_200(
    start: Start[FastChat], tmp_path_factory: pytest.TempPathFactory
) -> None:
    broken = start(running(tmp_path_factory.mktemp("unpinned"), UNPINNED))
    reply = broken.chat("one two")
    assert (reply.status, reply.end, reply.body) == (200, End.CUT, b"")
    assert broken.chat("one two", stream=False).json()["choices"][0]["message"]["content"] == "one two"
    assert broken.generate("one two").end is End.WHOLE
