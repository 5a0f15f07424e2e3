"""Chatchat's API as it is: good streams, and each fault as a client sees it. No watchdog here."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from e2e.systems.chatchat import CONCURRENCY, Chatchat, running
from e2e.systems.talking import End, get, wait_for

if TYPE_CHECKING:
    from e2e.systems.conftest import Start
    from e2e.systems.upstream import Upstream

pytestmark = [pytest.mark.systems, pytest.mark.large]


@pytest.fixture(scope="module")
def chatchat(start: Start[Chatchat], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Chatchat:
    return start(running(tmp_path_factory.mktemp("chatchat"), upstream))


def test_a_good_stream_has_a_finish_reason_and_no_done(chatchat: Chatchat) -> None:
    reply = chatchat.chat("one two three")
    said = "".join(event["choices"][0]["delta"]["content"] or "" for event in reply.sse_objects())
    assert (reply.end, said) == (End.WHOLE, "one two three")
    assert reply.sse_objects()[-1]["choices"][0]["finish_reason"] == "stop"
    assert "[DONE]" not in reply.sse_data()


def test_an_error_of_upstream_is_null_inside_a_200(chatchat: Chatchat) -> None:
    reply = chatchat.chat("one fault:error", stream=False, seconds=20)
    assert (reply.status, reply.end, reply.body) == (200, End.WHOLE, b"null")


@pytest.mark.parametrize("fault", ["cut", "error"])
def test_in_a_stream_it_is_an_error_object(chatchat: Chatchat, fault: str) -> None:
    reply = chatchat.chat(f"one fault:{fault}", seconds=20)
    assert (reply.status, reply.end) == (200, End.WHOLE)
    assert "error" in reply.sse_objects()[-1]


def test_an_error_page_of_upstream_is_an_empty_200(chatchat: Chatchat) -> None:
    reply = chatchat.chat("one fault:error-page", seconds=20)
    assert (reply.status, reply.end, reply.body) == (200, End.CUT, b"")


def test_a_stream_without_an_end_has_no_finish_reason(chatchat: Chatchat) -> None:
    reply = chatchat.chat("one fault:no-end")
    assert reply.end is End.WHOLE
    assert {event["choices"][0]["finish_reason"] for event in reply.sse_objects()} == {None}


def test_the_limit_does_not_hold_for_streams(chatchat: Chatchat, upstream: Upstream) -> None:
    with ExitStack() as stack:
        for _ in range(2 * CONCURRENCY):
            stream = stack.enter_context(chatchat.opened("one fault:stall"))
            stream.send()
            stream.read_until(lambda body: b"data:" in body)
        assert upstream.stalled == 2 * CONCURRENCY
        assert chatchat.chat("one two").end is End.WHOLE
    wait_for("upstream's clients have left too", lambda: upstream.stalled == 0)


def test_requests_whose_clients_have_left_saturate_it(chatchat: Chatchat, upstream: Upstream) -> None:
    chatchat.saturate()
    for stream in (True, False):
        assert chatchat.chat("one two", stream=stream).status == 500
    assert get(f"{chatchat.url}/v1/models").status == 200
    upstream.release()
    wait_for("it serves again", lambda: chatchat.chat("one two").end is End.WHOLE)
    assert chatchat.chat("one two").status == 200
