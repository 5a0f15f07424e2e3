"""The active checks as the watcher makes them: a model behind a mock transport, on a clock that does not wait."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from llm_watchdog.api.document import decode, encode
from llm_watchdog.api.policy import EngineTarget, EngineType, Policy
from llm_watchdog.api.reasons import VerdictState
from llm_watchdog.core.canaries import CanaryOutcome
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.lending import Reference
from llm_watchdog.core.observations import SocketSample
from llm_watchdog.core.replica import Replica
from llm_watchdog.probes.watch import Watcher
from tests.sidecar.model_server import ModelServer, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.looptime
START_SECONDS = 30
USER = SocketSample(peer="10.0.0.9:1:1", own=False, open=True, received=900, acked=0)


@asynccontextmanager
async def checked(
    server: ModelServer, *, in_rotation: bool = False, before: Callable[[Watcher], object] = lambda _watcher: None
) -> AsyncIterator[Watcher]:
    watcher = Watcher(
        Policy(engine=EngineTarget(type=EngineType.VLLM, model="tiny", concurrency=4)),
        pod="qwen-0",
        clock=now,
        transport=httpx.MockTransport(server),
        look_at_sockets=server.sockets,
    )
    watcher.note_rotation(in_rotation=in_rotation)
    before(watcher)
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def now() -> float:
    return asyncio.get_running_loop().time()


async def passed_start(watcher: Watcher) -> None:
    await asyncio.sleep(START_SECONDS)
    assert watcher.unchecked(now()) == ""
    watcher.note_rotation(in_rotation=True)


def asked_by_a_check(watcher: Watcher) -> bool:
    """A stream of a check is under way."""
    newest = watcher.window.canaries[-1] if watcher.window.canaries else None
    return newest is not None and newest.finished_at is None and not newest.shape.endswith("/4")


def reasons(watcher: Watcher) -> list[str]:
    return [finding.reason.value for finding in watcher.verdict(now()).findings]


async def test_a_healthy_engine_passes_all_checks_before_rotation_and_keeps_passing() -> None:
    server = ModelServer()
    async with checked(server) as watcher:
        await asyncio.sleep(1)
        assert "start-up checks" in watcher.unchecked(now())
        await passed_start(watcher)
        assert all("nothing found" in said for said in watcher.checks().values()) is False, "two are not for rotation"
        assert watcher.tally.checks == {
            CheckKind.CACHE_PAIR: 2,
            CheckKind.FINGERPRINT: 5,
            CheckKind.CROSS_TALK: 2,
            CheckKind.STALE: 1,
            CheckKind.SLOTS: 1,
        }
        assert server.most_served == 4, "the slot ledger; all else is one or two at once"
        server.most_served = 0
        cost = watcher.tally.check_tokens
        await asyncio.sleep(61)
        assert watcher.tally.check_tokens - cost <= 130
        assert server.most_served == 2
        await asyncio.sleep(180)
        assert watcher.verdict(now()).state is VerdictState.HEALTHY
        assert watcher.tally.own_errors == 0
    assert server.served == 0


@pytest.mark.parametrize(
    ("sickness", "reason"),
    [
        ({"corrupt_cache": True}, "CacheCorrupt"),
        ({"nan": True}, "BrokenNumbers"),
        ({"weights": 2}, "Drifted"),
        ({"swaps": True}, "ForeignContent"),
    ],
)
async def test_a_sickness_is_found_within_a_round_and_its_confirmation(
    sickness: dict[str, object], reason: str
) -> None:
    server = ModelServer()
    async with checked(server) as watcher:
        await passed_start(watcher)
        vars(server).update(sickness)
        await asyncio.sleep(70)
        assert reasons(watcher) == [reason]
        assert watcher.verdict(now()).state is VerdictState.FAULTY
        vars(server).update({name: getattr(ModelServer(), name) for name in sickness})
        await asyncio.sleep(70)
        assert reasons(watcher) == []


async def test_stale_content_and_leaked_slots_are_found_at_start() -> None:
    async with checked(ModelServer(bleeds=True)) as watcher:
        await asyncio.sleep(START_SECONDS)
        assert "StaleContent" in reasons(watcher)
    leaking = ModelServer(leaks=True, slots=6)
    async with checked(leaking) as watcher:
        await asyncio.sleep(60)
        assert "SlotsNotReturned" in reasons(watcher)
        dropped = sum(body["max_tokens"] == 64 for body in leaking.asked)
        await asyncio.sleep(300)
        assert sum(body["max_tokens"] == 64 for body in leaking.asked) == dropped == 4


async def test_a_user_ends_a_round_at_once_and_it_is_void() -> None:
    server = ModelServer()
    async with checked(server) as watcher:
        await passed_start(watcher)
        made = len(watcher.window.checks)
        await until(lambda: asked_by_a_check(watcher))
        server.silent = True
        server.users = (USER,)
        await asyncio.sleep(2)
        server.silent = False
        assert watcher.window.checks[-1].disturbed
        assert len(watcher.window.checks) == made + 1
        asked = sum(watcher.tally.checks.values())
        await asyncio.sleep(100)
        assert sum(watcher.tally.checks.values()) == asked, "nothing beside users"
        assert reasons(watcher) == []


async def test_a_hang_during_a_check_is_found_as_fast_as_one_during_a_canary() -> None:
    server = ModelServer()
    async with checked(server) as watcher:
        await passed_start(watcher)
        await until(lambda: asked_by_a_check(watcher))
        server.silent = True
        began = now()
        while watcher.verdict(now()).state is not VerdictState.SUSPECT:
            await asyncio.sleep(0.1)
            assert now() - began < 8
        while watcher.verdict(now()).state is not VerdictState.FAULTY:
            await asyncio.sleep(0.1)
            assert now() - began < 30
        assert server.most_served <= 4
        server.silent = False
        await asyncio.sleep(5)
        assert watcher.verdict(now()).state is VerdictState.HEALTHY


async def test_an_engine_without_log_probabilities_is_asked_without_them() -> None:
    server = ModelServer(refuses_logprobs=True)
    async with checked(server) as watcher:
        await passed_start(watcher)
        assert sum("logprobs" in body for body in server.asked) == 1
        assert watcher.window.baseline.prompts
        assert watcher.tally.canaries[CanaryOutcome.REJECTED] == 1


@pytest.mark.parametrize("facts", [{"tells_hits": False}, {"caches": False}])
async def test_a_cache_that_cannot_be_proven_to_be_used_holds_nothing(facts: dict[str, bool]) -> None:
    async with checked(ModelServer(**facts)) as watcher:  # type: ignore[arg-type]
        await passed_start(watcher)
        pair = next(check for check in watcher.window.checks if check.kind is CheckKind.CACHE_PAIR)
        assert pair.not_applicable
        assert "could not be made" in watcher.checks()["CachePair"]


@pytest.mark.parametrize(("emptied", "kept"), [(True, 0), (False, 100)])
async def test_after_a_flush_the_prompt_of_before_must_miss(*, emptied: bool, kept: float) -> None:
    server = ModelServer()
    async with checked(server) as watcher:
        await passed_start(watcher)
        if emptied:
            server.cached.clear()
        watcher.recheck()
        await passed_start(watcher)
        assert watcher.window.cache.kept == kept


async def test_a_fresh_salt_each_time_and_no_salt_on_the_cached_arm() -> None:
    server = ModelServer()
    async with checked(server) as watcher:
        await passed_start(watcher)
    salts = [body["cache_salt"] for body in server.asked if "cache_salt" in body]
    assert len(salts) == len(set(salts)) > 20
    assert all(salt.isalnum() for salt in salts)
    long = [body for body in server.asked if len(body["prompt"]) > 300]
    assert {"cache_salt" in body for body in long} == {True, False}


async def test_a_mistake_of_our_own_holds_nothing_and_is_counted() -> None:
    async with checked(ModelServer(broken={"/version"})) as watcher:
        await passed_start(watcher)
        assert 0 < watcher.tally.own_errors <= 5
        assert watcher.verdict(now()).state is VerdictState.HEALTHY


async def test_a_reset_in_the_middle_of_a_round_leaves_nothing_of_the_old_engine() -> None:
    server = ModelServer()
    async with checked(server) as watcher:
        await until(lambda: asked_by_a_check(watcher))
        server.silent = True
        await asyncio.sleep(0.2)
        watcher.reset("restarted")
        await asyncio.sleep(1)
        assert not watcher.window.answered
        assert watcher.window.checks == ()
        server.silent = False
        await passed_start(watcher)


async def test_a_replica_that_was_sick_from_its_start_is_found_by_what_the_others_answer() -> None:
    async with checked(ModelServer()) as another:
        await passed_start(another)
        own = another.window.baseline
    theirs = json.dumps(encode(Reference(key=own.key, prompts=own.stable)))
    async with checked(ModelServer(weights=2)) as watcher:
        await passed_start(watcher)
        for said in ("", "no fingerprint", theirs):
            assert reasons(watcher) == []
            watcher.note_reference(said)
        await asyncio.sleep(START_SECONDS)
        watcher.note_reference(theirs)
        assert reasons(watcher) == ["Dissents"]


async def test_the_baseline_survives_the_watchdog_through_the_journal() -> None:
    async with checked(ModelServer()) as watcher:
        await passed_start(watcher)
        replica = decode(Replica, encode(Replica(baseline=watcher.window.baseline)))
    assert replica.baseline == watcher.window.baseline
    changed = ModelServer(weights=2)
    async with checked(
        changed, before=lambda watcher: setattr(watcher, "window", replace(watcher.window, baseline=replica.baseline))
    ) as watcher:
        await asyncio.sleep(START_SECONDS)
        assert reasons(watcher) == ["Drifted"]
