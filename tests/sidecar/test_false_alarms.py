"""Healthy servers that simpler probes have killed (part B of the fault list): none may become `Faulty`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm_watchdog.api.policy import EngineTask, ProbeCost
from llm_watchdog.api.reasons import UnknownReason, VerdictState
from llm_watchdog.core.canaries import CanaryOutcome
from llm_watchdog.core.verdict import judge
from tests.sidecar.simulation import TARGET, Client, Engine, Simulation, between, never

BEGIN = 60.0


def crowd(size: int, at: float = 5.0) -> list[Client]:
    return [Client(at=at + 0.1 * n, peer=f"10.0.0.9:{n}:1") for n in range(size)]


def request_at(at: float, **fields: object) -> Client:
    return Client(at=at, first_token_after=1e9, **fields)  # type: ignore[arg-type]


HEALTHY_BUT_ODD = {
    # F5: kernels are compiled for the shape of a user's request that was just admitted
    "compile stall of 70 s, request just before": Engine(
        silent=between(BEGIN, BEGIN + 70), clients=[request_at(BEGIN - 0.1)]
    ),
    "compile stall of 70 s, request just after our canary": Engine(
        silent=between(BEGIN, BEGIN + 70), clients=[request_at(BEGIN + 0.4)]
    ),
    "compile stall of 70 s under load": Engine(silent=between(BEGIN, BEGIN + 70), clients=crowd(8)),
    "compile stall of 70 s, sockets not readable": Engine(silent=between(BEGIN, BEGIN + 70), sockets_readable=False),
    # F2, F16: prefills
    "prefill of 60 s in one step": Engine(
        silent=between(BEGIN, BEGIN + 60), clients=[request_at(BEGIN - 1.5, request_bytes=400_000)]
    ),
    "chunked prefill of 5 minutes, the cache fills": Engine(
        silent=between(BEGIN, BEGIN + 300),
        kv_rises=between(BEGIN, BEGIN + 300),
        clients=[request_at(BEGIN - 1.5, request_bytes=4_000_000)],
    ),
    "long prefill that let canaries through before it stalled": Engine(
        silent=between(BEGIN, BEGIN + 60), metrics=False, clients=[request_at(BEGIN - 20, request_bytes=400_000)]
    ),
    # F1: 1.00 to 1.03 s by construction
    "health answers in 1.03 s": Engine(health_seconds=1.03),
    # F7: 503 when busy
    "health says 503 while tokens flow": Engine(unhealthy=between(BEGIN), clients=crowd(8)),
    "health says 503 while canaries pass": Engine(unhealthy=between(BEGIN)),
    # F9, F12: full queues
    "queue full, 429": Engine(errors=between(BEGIN, BEGIN + 120), error_status=429, clients=crowd(16)),
    "queue full, 503": Engine(errors=between(BEGIN, BEGIN + 120), error_status=503, clients=crowd(16)),
    "queue full for hours, 503, alone": Engine(errors=between(BEGIN), error_status=503),
    "canaries queue behind a crowd": Engine(queued=between(BEGIN, BEGIN + 600), clients=crowd(128)),
    # sleep and pause
    "asleep": Engine(asleep=between(BEGIN, BEGIN + 600)),
    "asleep at the start": Engine(asleep=between(0, 300)),
    # processes that come and go
    "shutdown: 503 for a moment, then refused": Engine(
        errors=between(BEGIN, BEGIN + 0.5), unhealthy=between(BEGIN, BEGIN + 0.5), refuses=between(BEGIN + 0.5)
    ),
    "load of 10 minutes, refused": Engine(refuses=between(0, 600)),
    "load of 10 minutes, connects and hangs": Engine(silent=between(0, 600), tells_state=False),
    "load of 10 minutes, 503": Engine(errors=between(0, 600), error_status=503, unhealthy=between(0, 600)),
    "restarted by the kubelet, with a slow start": Engine(
        refuses=between(BEGIN, BEGIN + 20),
        silent=between(BEGIN + 20, BEGIN + 200),
        listener=lambda now: 7 if now < BEGIN else 8,
    ),
    "restarted between two looks": Engine(
        silent=between(BEGIN, BEGIN + 200), listener=lambda now: 7 if now < BEGIN else 8
    ),
    # what cannot be seen
    "no metrics, no state, no sockets": Engine(metrics=False, tells_state=False, sockets_readable=False),
    "users' requests are all short": Engine(
        clients=[Client(at=5 + n, until=5.4 + n, peer=f"10.0.0.9:{n}:1") for n in range(300)]
    ),
    "slow engine: 3 s per token": Engine(seconds_per_token=3.0),
    "slow engine: 6 s per token": Engine(seconds_per_token=6.0),
    "slow engine: 4 s to the first token": Engine(silent=lambda now: now > BEGIN and now % 5 < 4),
}


@pytest.mark.parametrize("name", HEALTHY_BUT_ODD)
def test_is_never_faulty(name: str) -> None:
    engine = replace(HEALTHY_BUT_ODD[name])
    simulation = Simulation(engine).run(BEGIN + 700)
    assert simulation.first(VerdictState.FAULTY) is None
    assert simulation.verdict.state is not VerdictState.SUSPECT


@pytest.mark.parametrize(
    "name", ["health answers in 1.03 s", "health says 503 while tokens flow", "no metrics, no state, no sockets"]
)
def test_stays_healthy(name: str) -> None:
    simulation = Simulation(replace(HEALTHY_BUT_ODD[name])).run(BEGIN + 300)
    assert simulation.states(5) == {VerdictState.HEALTHY}


def test_a_chunked_prefill_is_not_even_suspect() -> None:
    simulation = Simulation(HEALTHY_BUT_ODD["chunked prefill of 5 minutes, the cache fills"]).run(BEGIN + 90)
    assert VerdictState.SUSPECT not in simulation.states()


def test_no_canary_is_sent_to_a_sleeping_engine() -> None:
    simulation = Simulation(Engine(asleep=between(BEGIN))).run(BEGIN + 5)
    assert simulation.verdict.unknown is UnknownReason.ASLEEP
    before = simulation.canaries
    simulation.run(BEGIN + 600)
    assert simulation.canaries == before


def test_after_a_sleep_it_is_starting_until_a_canary_has_passed() -> None:
    simulation = Simulation(Engine(asleep=between(BEGIN, BEGIN + 60), queued=between(BEGIN + 60, BEGIN + 80)))
    simulation.run(BEGIN + 69)
    assert simulation.verdict.unknown is UnknownReason.STARTING
    simulation.run(BEGIN + 90)
    assert simulation.verdict.state is VerdictState.HEALTHY


@pytest.mark.parametrize("stall", [5.0, 30.0, 300.0])
def test_a_watchdog_that_stood_still_holds_it_against_nobody(stall: float) -> None:
    """Its own canary was in flight, and answered, but nobody was there to read it."""
    engine = Engine(silent=between(BEGIN, BEGIN + 1))
    simulation = Simulation(engine, asleep_watchdog=between(BEGIN + 1, BEGIN + 1 + stall)).run(BEGIN + stall + 30)
    assert not {VerdictState.FAULTY, VerdictState.SUSPECT} & simulation.states()


def test_a_verdict_asked_for_before_the_loop_has_caught_up_counts_nothing() -> None:
    simulation = Simulation(Engine(silent=between(BEGIN))).run(BEGIN + 3)
    late = judge(simulation.window, simulation.target, simulation.policy, BEGIN + 300)
    assert late.state is VerdictState.HEALTHY


def test_a_watchdog_that_stutters_needs_its_own_time_of_seeing() -> None:
    engine = Engine(silent=between(BEGIN))
    stutter = Simulation(engine, asleep_watchdog=lambda now: now > BEGIN and now % 10 < 8).run(BEGIN + 60)
    assert stutter.first(VerdictState.FAULTY) is None


@pytest.mark.parametrize("task", [EngineTask.NONE, EngineTask.EMBED])
def test_without_a_canary_nothing_is_said(task: EngineTask) -> None:
    simulation = Simulation(Engine(silent=between(BEGIN)), target=replace(TARGET, task=task)).run(BEGIN + 300)
    assert simulation.canaries == 0
    assert simulation.verdict.unknown is UnknownReason.NO_CANARY


def test_a_metered_engine_is_asked_once_and_then_on_suspicion() -> None:
    target = replace(TARGET, probe_cost=ProbeCost.METERED)
    quiet = Simulation(Engine(), target=target).run(600)
    assert quiet.canaries == 1
    asked = Simulation(Engine(silent=between(BEGIN), clients=crowd(4)), target=target).run(BEGIN + 200)
    assert asked.first(VerdictState.FAULTY) is not None


def test_a_rejected_canary_says_nothing_about_the_engine() -> None:
    simulation = Simulation(Engine(errors=never)).run(BEGIN)
    simulation.engine.errors, simulation.engine.error_status = between(BEGIN), 401
    simulation.run(BEGIN + 300)
    assert simulation.verdict.unknown is UnknownReason.CANARY_REJECTED
    assert simulation.window.canaries[-1].outcome is CanaryOutcome.REJECTED
