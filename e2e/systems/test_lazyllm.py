"""LazyLLM in an application of its users' kind: whose words a stream carries. No watchdog here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from e2e.systems.lazyllm import LazyLlm, Mode, Words, running
from e2e.systems.talking import End

if TYPE_CHECKING:
    from e2e.systems.conftest import Start
    from e2e.systems.upstream import Upstream

pytestmark = pytest.mark.systems

ABANDONED = 20
AT_ONCE = 5
ATTEMPTS = 20
"""Rounds in which the address of one of the dead requests is used again: about half of them, so certainly one."""


@pytest.fixture(scope="module")
def bug(start: Start[LazyLlm], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> LazyLlm:
    return start(running(tmp_path_factory.mktemp("bug"), upstream, Mode.BUG))


@pytest.fixture(scope="module")
def fix(start: Start[LazyLlm], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> LazyLlm:
    return start(running(tmp_path_factory.mktemp("fix"), upstream, Mode.FIX))


@pytest.fixture(scope="module")
def helper(start: Start[LazyLlm], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> LazyLlm:
    return start(running(tmp_path_factory.mktemp("helper"), upstream, Mode.HELPER))


def at_once(system: LazyLlm, streams: int) -> list[Words]:
    with ThreadPoolExecutor(streams) as pool:
        return list(pool.map(lambda _: system.say(), range(streams)))


@pytest.mark.parametrize("name", list(Mode))
def test_alone_each_way_gives_every_stream_its_own_words(name: Mode, request: pytest.FixtureRequest) -> None:
    system: LazyLlm = request.getfixturevalue(name)
    assert all(system.say().whole for _ in range(3))
    reply = system.chat("one two three")
    assert (reply.end, reply.sse_data()[-1]) == (End.WHOLE, "[DONE]")


def test_two_streams_at_once_rob_each_other(bug: LazyLlm, upstream: Upstream) -> None:
    upstream.in_step = Barrier(2)
    rounds = [at_once(bug, 2) for _ in range(3)]
    upstream.in_step = Barrier(1)
    assert all(any(not words.whole for words in streams) for streams in rounds)
    assert any(words.foreign for streams in rounds for words in streams)


def test_the_streams_final_text_is_right_all_the_same(bug: LazyLlm) -> None:
    with ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(bug.chat, ["one two three", "four five six"]))
    finals = ["".join(event.get("final", "") for event in reply.sse_objects()) for reply in replies]
    assert "one two three" in finals[0]
    assert "four five six" in finals[1]


def test_an_abandoned_streams_words_come_in_the_next_one(bug: LazyLlm, upstream: Upstream) -> None:
    bug.abandon(upstream, 1)
    assert bug.say().foreign > 0
    assert bug.say().whole


def test_a_session_id_is_used_again_and_brings_the_words_of_the_dead(
    start: Start[LazyLlm], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fix = start(running(tmp_path_factory.mktemp("dead"), upstream, Mode.FIX))  # its dead stay in it
    dead = fix.abandon(upstream, ABANDONED)
    rounds = ([words for words in at_once(fix, AT_ONCE) if words.foreign] for _ in range(ATTEMPTS))
    bled = next(filter(None, rounds), [])
    assert bled
    assert all(words.sessions & dead for words in bled)


def test_with_session_ids_streams_at_once_keep_their_words(fix: LazyLlm) -> None:
    assert all(words.whole for words in at_once(fix, 4))


def test_lazyllms_own_way_is_clean(helper: LazyLlm, upstream: Upstream, good_rounds: int) -> None:
    helper.abandon(upstream, 3)
    for number in range(good_rounds):
        assert all(words.whole for words in at_once(helper, 2)), f"round {number}"
