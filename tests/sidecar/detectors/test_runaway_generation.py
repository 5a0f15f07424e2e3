"""`RunawayGeneration`: tokens for nobody, starvation, canaries beyond their limit; and loads, which are none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType
from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.core.canaries import Flaw
from llm_watchdog.core.observations import StatusReading
from tests.sidecar.detectors.stage import BEGIN, Odd, Stage, played
from tests.sidecar.simulation import TARGET, Client, between

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_watchdog.core.observations import MetricsReading

FAULT = FaultClass.RUNAWAY_GENERATION
SIXTEEN = EngineTarget(type=EngineType.VLLM, concurrency=16)


def flowing(rate: float = 5.4, **fields: float) -> Callable[[float, MetricsReading], MetricsReading]:
    """A42: about 5.4 tokens/s for a request that never ends."""

    def bent(now: float, reading: MetricsReading) -> MetricsReading:
        tokens = (reading.generation_tokens or 0.0) + rate * max(0.0, now - BEGIN)
        gauges = fields if now >= BEGIN else {}
        return replace(reading, generation_tokens=tokens, **{"finished": 7.0, **gauges})  # type: ignore[arg-type]

    return bent


def starving(**fields: float) -> Odd:
    """Fourteen users wait behind one that nobody reads."""
    clients = [Client(at=BEGIN + n, peer=f"10.0.0.9:{n}:1", headers_bytes=0, chunk_bytes=0) for n in range(14)]
    gauges = {"running": 1.0, "waiting": 15.0, "kv_usage": 0.2, **fields}
    return Odd(page=flowing(**gauges), queued=between(BEGIN), clients=clients)


def test_starvation_is_found_after_2_minutes_and_acted_on_after_10() -> None:
    """A42, and A7 with tokens: Running 1, Waiting 14 for more than an hour."""
    stage = played(starving(), BEGIN + 630, target=SIXTEEN)
    found, faulty = stage.when(FindingReason.STARVATION), stage.when(FindingReason.STARVATION, faulty=True)
    assert found is not None
    assert faulty is not None
    assert 120 <= found <= 140
    assert 600 <= faulty <= 625
    finding = stage.finding(FAULT)
    assert finding is not None
    assert not finding.silent, "tokens flow for somebody, perhaps"
    assert stage.incidents() == {FAULT}


def test_starvation_is_found_where_the_step_counter_moves_less_often_than_pages_come() -> None:
    """SGLang's moves every 40 decode steps, and one starving request made 5.4 of them a second."""

    def page(now: float, reading: MetricsReading) -> MetricsReading:
        bent = flowing(rate=0.0, running=1.0, waiting=15.0)(now, reading)
        return replace(bent, kv_usage=0.2, progress=now // 8 * 40, generation_tokens=None, prompt_tokens=None)

    stage = played(Odd(page=page, queued=between(BEGIN), clients=starving().clients), BEGIN + 200, target=SIXTEEN)
    found = stage.when(FindingReason.STARVATION)
    assert found is not None
    assert 120 <= found <= 150


def test_others_that_still_ran_when_the_queue_began_to_stand_hide_no_starvation() -> None:
    """llama.cpp counts no finished requests: that fewer run is what tells of their end."""

    def page(now: float, reading: MetricsReading) -> MetricsReading:
        bent = flowing(running=12.0 if now < BEGIN + 20 else 1.0, waiting=15.0)(now, reading)
        return replace(bent, finished=None)

    stage = played(Odd(page=page, queued=between(BEGIN), clients=starving().clients), BEGIN + 200, target=SIXTEEN)
    found = stage.when(FindingReason.STARVATION)
    assert found is not None
    assert 140 <= found <= 165


def test_the_most_that_ever_ran_stands_in_for_the_concurrency() -> None:
    engine = starving()
    engine.clients += [Client(at=10, until=40, peer=f"10.0.1.9:{n}:1") for n in range(8)]
    assert played(engine, BEGIN + 200).when(FindingReason.STARVATION) is not None


LOADS = {
    "running at the limit": (starving(running=16.0), SIXTEEN),
    "running at half the limit and more": (starving(running=9.0), SIXTEEN),
    "the cache is full": (starving(kv_usage=0.97), SIXTEEN),
    "the limit is not known and never more ran": (starving(), TARGET),
    "requests are finished": (
        Odd(
            page=lambda now, r: replace(flowing(running=1.0, waiting=15.0)(now, r), finished=now),
            queued=between(BEGIN),
            clients=starving().clients,
        ),
        SIXTEEN,
    ),
    "canaries pass": (Odd(page=flowing(running=1.0, waiting=15.0), clients=starving().clients), SIXTEEN),
    "a user's long answer, alone": (Odd(clients=[Client(at=BEGIN - 1)], page=flowing(running=1.0)), SIXTEEN),
    # F14, F15: counters that move only when a request ends
    "a user's long answer, counters at its end": (
        Odd(clients=[Client(at=BEGIN - 1)], page=lambda now, r: replace(r, generation_tokens=now // 300)),
        SIXTEEN,
    ),
    "tokens for clients whose sockets cannot be read": (Odd(page=flowing(), sockets_readable=False), SIXTEEN),
    "our canaries alone": (Odd(), SIXTEEN),
    "a long prefill of one user": (
        Odd(clients=[Client(at=BEGIN - 1, request_bytes=400_000, chunk_bytes=0)], page=flowing(running=1.0)),
        SIXTEEN,
    ),
}


@pytest.mark.parametrize("name", LOADS)
def test_a_load_is_none(name: str) -> None:
    engine, target = LOADS[name]
    stage = played(engine, BEGIN + 300, target=target)
    assert not {FindingReason.STARVATION, FindingReason.TOKENS_FOR_NOBODY} & stage.reasons()
    assert stage.incidents() == set()


@pytest.mark.parametrize(
    "engine",
    [
        Odd(page=flowing(running=1.0)),  # A45: 30 tokens/s long after the output was received
        Odd(page=flowing(rate=30.0)),
        # A37, A43: the client is gone, and the context is filled to its end
        Odd(page=lambda now, r: replace(r, generation_tokens=None, progress=100 * max(0.0, now - BEGIN))),
    ],
    ids=["A42 slowly", "A45 running not told", "A37 by its step counter"],
)
def test_tokens_for_nobody(engine: Odd) -> None:
    stage = played(engine, BEGIN + 630)
    found = stage.when(FindingReason.TOKENS_FOR_NOBODY, incident=True)
    faulty = stage.when(FindingReason.TOKENS_FOR_NOBODY, faulty=True)
    assert found is not None
    assert faulty is not None
    assert 120 <= found <= 145
    assert 600 <= faulty <= 630
    assert stage.incidents() == {FAULT}, "a slot that generates is not a leaked one"


def test_tokens_that_have_ended_are_forgotten_with_the_next_page() -> None:
    """An abort is proven by it: a page later nothing runs any more."""

    def page(now: float, reading: MetricsReading) -> MetricsReading:
        tokens = flowing()(min(now, BEGIN + 200), reading)
        return replace(tokens, running=float(BEGIN <= now < BEGIN + 200))

    stage = played(Odd(page=page), BEGIN + 212)
    assert stage.when(FindingReason.TOKENS_FOR_NOBODY) is not None
    assert stage.finding(FAULT) is None


def test_an_answer_that_goes_on_for_a_minute_after_its_client_left_is_none() -> None:
    def bent(now: float, reading: MetricsReading) -> MetricsReading:
        return flowing(rate=30.0 if now < BEGIN + 60 else 0.0)(now, reading)

    assert played(Odd(page=bent), BEGIN + 200).incidents() == set()


def test_users_whose_requests_are_shorter_than_a_look_are_somebody() -> None:
    """No connection is ever seen, and yet requests are finished: two users of the demo."""

    def served(now: float, reading: MetricsReading) -> MetricsReading:
        return replace(reading, generation_tokens=1000 + now * 60, finished=100 + now * 2)

    stage = played(Odd(page=served), BEGIN + 700)
    assert FindingReason.TOKENS_FOR_NOBODY not in stage.reasons()


def test_canaries_beyond_their_limit() -> None:
    """A43, A44: no stop, whatever was asked for."""
    stage = played(Odd(flaw=lambda now: Flaw.BEYOND_LIMIT if now >= BEGIN else None, flaw_tokens=17), BEGIN + 40)
    assert stage.when(FindingReason.BEYOND_LIMIT) is not None
    assert stage.verdict.state is VerdictState.FAULTY
    assert stage.incidents() == {FAULT}
    faulty = stage.when(FindingReason.BEYOND_LIMIT, faulty=True)
    assert faulty is not None
    assert faulty >= 10, "a moment is no ground for a restart"


def test_a_moment_of_canaries_beyond_their_limit_restarts_nothing() -> None:
    odd = Odd(flaw=lambda now: Flaw.BEYOND_LIMIT if BEGIN <= now < BEGIN + 4 else None, flaw_tokens=17)
    assert played(odd, BEGIN + 60).first(VerdictState.FAULTY) is None


def test_one_canary_beyond_its_limit_is_none() -> None:
    once = Odd(flaw=lambda now: Flaw.BEYOND_LIMIT if BEGIN <= now < BEGIN + 0.9 else None, flaw_tokens=17)
    assert played(once, BEGIN + 30).reasons() == set()


def test_slots_told_by_a_status_endpoint_are_a_limit_too() -> None:
    engine = starving(kv_usage=0.0)
    engine.status = lambda _now: StatusReading(slots=16)
    stage: Stage = played(engine, BEGIN + 200)
    assert stage.when(FindingReason.STARVATION) is not None
