"""DB-GPT as it is: good streams, and each fault as a client sees it. No watchdog here."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from e2e.systems.dbgpt import LIMIT, DbGpt, Kind, running
from e2e.systems.talking import End, get, wait_for

if TYPE_CHECKING:
    from e2e.systems.conftest import Start
    from e2e.systems.talking import Opened
    from e2e.systems.upstream import Upstream

pytestmark = pytest.mark.systems


@pytest.fixture(scope="module")
def proxy(start: Start[DbGpt], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> DbGpt:
    return start(running(tmp_path_factory.mktemp("dbgpt"), upstream))


@pytest.fixture(scope="module")
def threads(start: Start[DbGpt], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> DbGpt:
    return start(running(tmp_path_factory.mktemp("dbgpt"), upstream, Kind.THREAD))


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["content"]["object"]["data"] for event in events]


def stall(system: DbGpt, stack: ExitStack) -> Opened:
    stream = stack.enter_context(system.opened("one fault:stall"))
    stream.send()
    stream.read_until(lambda body: b"\0" in body)
    return stream


@pytest.mark.parametrize("name", ["proxy", "threads"])
def test_a_good_stream_is_cumulative_and_tells_no_finish_reason(name: str, request: pytest.FixtureRequest) -> None:
    system: DbGpt = request.getfixturevalue(name)
    reply = system.generate("one two three")
    assert reply.end is End.WHOLE
    assert list(dict.fromkeys(texts(reply.nul_objects()))) == ["one ", "one two ", "one two three"]
    assert {event["finish_reason"] for event in reply.nul_objects()} == {None}
    assert {event["error_code"] for event in reply.nul_objects()} == {0}


def test_a_good_stream_of_the_api_server_ends_with_done(proxy: DbGpt) -> None:
    reply = proxy.chat("one two three")
    said = "".join(event["choices"][0]["delta"].get("content") or "" for event in reply.sse_objects())
    assert (reply.end, said, reply.sse_data()[-1]) == (End.WHOLE, "one two three", "[DONE]")


def test_a_stream_without_an_end_looks_like_a_good_one(proxy: DbGpt) -> None:
    reply = proxy.generate("one fault:no-end")
    assert reply.end is End.WHOLE
    assert texts(reply.nul_objects()) == ["one ", "one fault:no-end"]
    assert {event["error_code"] for event in reply.nul_objects()} == {0}
    assert proxy.chat("one fault:no-end").sse_data()[-1] == "[DONE]"


@pytest.mark.parametrize(("fault", "words"), [("cut", ["1"]), ("error", []), ("error-page", [])])
def test_an_error_of_upstream_is_an_object_inside_a_200(proxy: DbGpt, fault: str, words: list[str]) -> None:
    reply = proxy.generate(f"one fault:{fault}", seconds=20)
    *spoken, last = reply.nul_objects()
    assert (reply.status, reply.end) == (200, End.WHOLE)
    assert texts(spoken) == words
    assert last["error_code"] == 1
    assert proxy.has_a_slot()


def test_stalled_streams_take_all_slots_while_health_is_fine(proxy: DbGpt, upstream: Upstream) -> None:
    with ExitStack() as stack:
        for _ in range(LIMIT):
            stall(proxy, stack)
        assert proxy.metadata().end is End.SILENT
        assert get(f"{proxy.worker}/api/health").json() == {"status": "ok"}
        probe = proxy.generate("one two", seconds=1)
        assert (probe.status, probe.end, probe.body) == (200, End.SILENT, b"")
        through = proxy.chat("one two", seconds=1)
        assert through.end is End.SILENT
        assert [event["choices"][0]["delta"] for event in through.sse_objects()] == [{"role": "assistant"}]
        assert upstream.stalled == LIMIT
    wait_for("the slots are free without their clients", proxy.has_a_slot)
    wait_for("upstream's clients have left too", lambda: upstream.stalled == 0)


def test_a_stalled_stream_that_upstream_takes_up_again_ends_well(proxy: DbGpt, upstream: Upstream) -> None:
    with ExitStack() as stack:
        stream = stall(proxy, stack)
        upstream.release()
        reply = stream.read_whole()
    assert (reply.end, texts(reply.nul_objects())[-1]) == (End.WHOLE, "1one fault:stall")


def test_a_blocked_thread_holds_its_slot_after_its_client_has_left(threads: DbGpt) -> None:
    for _ in range(LIMIT):
        threads.block_a_thread(3)
    assert threads.metadata().end is End.SILENT
    wait_for("the threads have gone on", threads.has_a_slot)


def test_an_exception_in_a_thread_cuts_the_stream_and_frees_the_slot(threads: DbGpt) -> None:
    for _ in range(2 * LIMIT):
        reply = threads.generate("one fault:raise two")
        assert (reply.status, reply.end) == (200, End.CUT)
    assert threads.has_a_slot()
