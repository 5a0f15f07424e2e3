"""Engines that hang or die, from idle and under load: how long until they are out of rotation, and until a kill."""

from __future__ import annotations

import pytest

from llm_watchdog.api.reasons import FaultClass, FindingReason, UnknownReason, VerdictState
from tests.sidecar.simulation import Client, Engine, Simulation, between

HANG = 60.0
"""When the engine hangs."""


def hung(**engine: object) -> Simulation:
    return Simulation(Engine(silent=between(HANG), **engine)).run(HANG + 200)  # type: ignore[arg-type]


def after_hang(simulation: Simulation, state: VerdictState) -> float:
    at = simulation.first(state)
    assert at is not None, f"never {state}"
    return at - HANG


def test_hang_of_an_idle_engine_is_suspect_within_8_and_faulty_within_25_seconds() -> None:
    simulation = hung()
    assert 5 <= after_hang(simulation, VerdictState.SUSPECT) <= 7.5
    assert 20 <= after_hang(simulation, VerdictState.FAULTY) <= 23
    finding = simulation.verdict.findings[0]
    assert (finding.fault, finding.reason) == (FaultClass.STALLED_STREAM, FindingReason.NO_FIRST_TOKEN)
    assert finding.silent
    assert HANG <= finding.since <= HANG + 2
    assert "alone" in finding.message
    assert {sign.kind for sign in finding.signs} >= {"Canary", "Health", "Metrics", "Sockets", "State"}


def test_clients_that_come_after_the_silence_began_do_not_slow_it_down() -> None:
    clients = [Client(at=HANG + 4 + 0.7 * n, peer=f"10.0.0.9:{n}:1") for n in range(50)]
    assert after_hang(hung(clients=clients), VerdictState.FAULTY) <= 23


def test_pooled_idle_connections_prove_nothing() -> None:
    pooled = Client(at=10, request_bytes=500, chunk_bytes=0, headers_bytes=4000)
    simulation = hung(clients=[pooled])
    assert after_hang(simulation, VerdictState.FAULTY) <= 23


def test_health_checks_and_scrapes_do_not_slow_it_down() -> None:
    probes = [
        Client(at=HANG - 100 + 2 * n, until=HANG - 99.5 + 2 * n, request_bytes=115, peer=f"10.0.0.1:{n}:1")
        for n in range(150)
    ]
    assert after_hang(hung(clients=probes), VerdictState.FAULTY) <= 23


def test_a_hang_while_streaming_is_suspect_within_15_and_faulty_within_120_seconds() -> None:
    clients = [Client(at=5 + n, peer=f"10.0.0.9:{n}:1") for n in range(8)]
    simulation = hung(clients=clients)
    assert after_hang(simulation, VerdictState.SUSPECT) <= 15
    assert 100 <= after_hang(simulation, VerdictState.FAULTY) <= 118
    assert simulation.verdict.findings[0].reason is FindingReason.NO_PROGRESS


def test_a_hang_while_streaming_is_found_without_sockets_too() -> None:
    clients = [Client(at=5 + n, peer=f"10.0.0.9:{n}:1") for n in range(8)]
    simulation = hung(clients=clients, sockets_readable=False)
    assert after_hang(simulation, VerdictState.SUSPECT) <= 15
    assert after_hang(simulation, VerdictState.FAULTY) <= 118


def test_a_hang_without_metrics_and_sockets_is_found_slowly() -> None:
    simulation = hung(metrics=False, sockets_readable=False, tells_state=False)
    assert after_hang(simulation, VerdictState.SUSPECT) <= 15
    assert 100 <= after_hang(simulation, VerdictState.FAULTY) <= 118


def test_a_frozen_api_server_is_found_and_the_message_says_that_even_health_is_silent() -> None:
    simulation = Simulation(Engine(frozen_server=between(HANG))).run(HANG + 30)
    assert after_hang(simulation, VerdictState.FAULTY) <= 23
    assert "even the health endpoint is silent" in simulation.verdict.message


def test_keep_alive_comments_are_no_progress() -> None:
    """Bytes flow in a hung stream when the server keeps it alive."""
    client = Client(at=HANG - 20, chunk_bytes=300)
    engine = Engine(silent=between(HANG), clients=[client])
    original = client.sample

    def with_comments(now: float, *, generates: bool) -> object:
        client.answered += 0 if generates else 20
        return original(now, generates=generates)

    client.sample = with_comments  # type: ignore[method-assign, assignment]
    simulation = Simulation(engine).run(HANG + 130)
    assert after_hang(simulation, VerdictState.FAULTY) <= 118


def test_a_dead_engine_behind_a_living_server_is_dead() -> None:
    simulation = Simulation(Engine(errors=between(HANG), unhealthy=between(HANG))).run(HANG + 30)
    assert after_hang(simulation, VerdictState.SUSPECT) <= 5
    assert 10 <= after_hang(simulation, VerdictState.FAULTY) <= 14
    finding = simulation.verdict.findings[0]
    assert (finding.fault, finding.reason) == (FaultClass.ENGINE_DEAD, FindingReason.HEALTH_FAILING)


def test_completions_that_fail_behind_a_healthy_health_endpoint_are_a_dead_engine_too() -> None:
    simulation = Simulation(Engine(errors=between(HANG))).run(HANG + 30)
    assert after_hang(simulation, VerdictState.FAULTY) <= 14
    assert simulation.verdict.findings[0].reason is FindingReason.COMPLETIONS_FAILING


def test_any_token_is_health_at_once() -> None:
    simulation = Simulation(Engine(silent=between(HANG, HANG + 40))).run(HANG + 60)
    assert simulation.states(HANG + 21, HANG + 39) == {VerdictState.FAULTY}
    assert simulation.states(HANG + 40.5) == {VerdictState.HEALTHY}


@pytest.mark.parametrize("hang", [0.0, 30.0])
def test_an_engine_that_never_answered_is_starting_whatever_it_does(hang: float) -> None:
    engine = Engine(refuses=between(0, hang), silent=between(hang))
    simulation = Simulation(engine).run(hang + 300)
    assert simulation.states() == {VerdictState.UNKNOWN}
    assert simulation.verdict.unknown is UnknownReason.STARTING


def test_a_canary_that_queues_behind_moving_streams_is_a_suspicion_that_costs_nothing_to_doubt() -> None:
    clients = [Client(at=5 + n, peer=f"10.0.0.9:{n}:1") for n in range(8)]
    simulation = Simulation(Engine(queued=between(HANG), clients=clients)).run(HANG + 900)
    assert simulation.first(VerdictState.FAULTY) is None
    at = after_hang(simulation, VerdictState.SUSPECT)
    assert at >= 100
    assert not next(v for _, v in simulation.verdicts if v.state is VerdictState.SUSPECT).findings[0].silent


def test_streams_that_always_stop_half_way_are_suspect_without_flapping_and_then_faulty() -> None:
    simulation = Simulation(Engine(stalls_after_two=between(HANG))).run(HANG + 60)
    assert 5 <= after_hang(simulation, VerdictState.SUSPECT) <= 8
    faulty = after_hang(simulation, VerdictState.FAULTY)
    assert 20 <= faulty <= 30
    assert simulation.states(HANG + 17, HANG + faulty) == {VerdictState.SUSPECT}
    assert simulation.states(HANG + faulty) == {VerdictState.FAULTY}
    finding = simulation.verdict.findings[0]
    assert finding.reason is FindingReason.TOKEN_GAP
