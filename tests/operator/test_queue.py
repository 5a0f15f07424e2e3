"""The work queue, in fake time."""

from __future__ import annotations

import asyncio

import pytest

from llmworker_operator.queue import WorkQueue

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def queue(noise: float = 0.5) -> WorkQueue[str]:
    return WorkQueue(backoff_seconds=1, backoff_max_seconds=8, noise=lambda: noise)


async def test_in_order_and_without_duplicates() -> None:
    q = queue()
    for key in ("a", "b", "a"):
        q.add(key)
    assert [await q.get(), await q.get()] == ["a", "b"]
    assert len(q) == 0


async def test_never_by_two_at_once() -> None:
    q = queue()
    q.add("a")
    assert await q.get() == "a"
    q.add("a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(q.get(), 5)
    q.done("a")
    assert await asyncio.wait_for(q.get(), 1) == "a"


async def test_what_comes_while_it_is_worked_on_is_kept_once() -> None:
    q = queue()
    q.add("a")
    await q.get()
    q.add("a")
    q.add("a")
    q.done("a")
    await q.get()
    q.done("a")
    assert len(q) == 0


async def test_backs_off_longer_each_time_up_to_a_limit() -> None:
    q = queue()
    q.add("a")
    delays = []
    for _ in range(6):
        await q.get()
        delays.append(q.failed("a"))
    assert delays == [1, 2, 4, 8, 8, 8]


async def test_an_event_does_not_shorten_a_back_off() -> None:
    q = queue()
    q.add("a")
    await q.get()
    q.failed("a")
    q.add("a")
    assert len(q) == 0
    await asyncio.sleep(1.1)
    assert await q.get() == "a"


async def test_other_keys_do_not_wait() -> None:
    q = queue()
    q.add("a")
    await q.get()
    q.failed("a")
    q.add("b")
    assert await asyncio.wait_for(q.get(), 0.1) == "b"


async def test_success_forgets_failures() -> None:
    q = queue()
    for _ in range(3):
        q.add("a")
        await q.get()
        q.failed("a")
        await asyncio.sleep(10)
        await q.get()
        q.done("a")
    q.add("a")
    await q.get()
    assert q.failed("a") == 1


@pytest.mark.parametrize(("noise", "delay"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
async def test_jitter(noise: float, delay: float) -> None:
    q = queue(noise)
    q.add("a")
    await q.get()
    assert q.failed("a") == pytest.approx(delay)


async def test_the_earlier_of_two_wishes_counts() -> None:
    q = queue()
    q.add_after("a", 5)
    q.add_after("a", 2)
    q.add_after("a", 9)
    began = asyncio.get_running_loop().time()
    await q.get()
    assert asyncio.get_running_loop().time() - began == pytest.approx(2)
    q.done("a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(q.get(), 100)


async def test_tells_how_long_the_oldest_has_waited() -> None:
    q = queue()
    assert q.oldest_seconds() == 0
    q.add("a")
    await asyncio.sleep(3)
    q.add("b")
    await asyncio.sleep(4)
    assert q.oldest_seconds() == pytest.approx(7)
    await q.get()
    assert q.oldest_seconds() == pytest.approx(4)
