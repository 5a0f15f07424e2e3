"""Users with long prompts silence everybody for a while: once is a suspicion, again and again is how it works."""

from __future__ import annotations

from itertools import pairwise

from llm_watchdog.api.reasons import VerdictState
from llm_watchdog.core.lulls import MEMORY_SECONDS
from tests.sidecar.simulation import Client, Engine, Simulation, between, never

BEGIN = 60.0
PERIOD = 30.0
PREFILL = 15.0


def documents(end: float) -> list[Client]:
    """One every half minute, whose prefill silences the engine."""
    count = int((end - BEGIN) / PERIOD)
    begins = [BEGIN + PERIOD * n for n in range(count)]
    return [Client(at=at - 0.1, until=at + 25, peer=f"10.0.0.9:{n}:1") for n, at in enumerate(begins)]


def prefills(until: float, hang: float = float("inf")) -> Simulation:
    """Documents up to a time, and a hang with one of them."""

    def silent(now: float) -> bool:
        return now >= hang or (BEGIN <= now < until and (now - BEGIN) % PERIOD < PREFILL)

    return Simulation(Engine(silent=silent, clients=documents(until), metrics=False))


def suspicions(simulation: Simulation, begin: float = 0.0) -> int:
    """How often it left rotation."""
    states = [verdict.state for at, verdict in simulation.verdicts if at >= begin]
    return sum(before is not VerdictState.SUSPECT is after for before, after in pairwise(states))


def test_a_replica_that_prefills_for_long_leaves_rotation_once_and_not_with_every_prompt() -> None:
    simulation = prefills(BEGIN + 3600).run(BEGIN + 3600)
    assert suspicions(simulation) == 1
    assert simulation.first(VerdictState.FAULTY) is None


def test_its_hang_is_found_all_the_same() -> None:
    """As late as a prompt of four times the length would be answered."""
    hang = BEGIN + 10 * PERIOD
    simulation = prefills(BEGIN + 3600, hang).run(hang + 410)
    left = next(at for at, verdict in simulation.verdicts if at > hang and verdict.state is VerdictState.SUSPECT)
    assert left - hang < 45
    assert simulation.first(VerdictState.FAULTY) is not None


def test_what_a_canary_waited_for_beside_users_does_not_excuse_one_that_is_alone() -> None:
    end, hang = BEGIN + 1800, BEGIN + 1830
    simulation = prefills(end, hang).run(hang + 25)
    left = next(at for at, verdict in simulation.verdicts if at > hang and verdict.state is VerdictState.SUSPECT)
    assert left - hang < 8
    faulty = simulation.first(VerdictState.FAULTY)
    assert faulty is not None
    assert faulty - hang < 25


def test_what_was_learned_is_forgotten_with_the_users_who_taught_it() -> None:
    simulation = prefills(BEGIN + 5 * PERIOD).run(BEGIN + 300)
    assert simulation.window.habits.lull.seconds > PREFILL - 3
    simulation.run(BEGIN + 300 + MEMORY_SECONDS)
    assert simulation.window.habits.lull.seconds == 0


def test_a_silence_that_ends_with_another_process_is_no_lull() -> None:
    engine = Engine(
        silent=between(BEGIN, BEGIN + 40),
        clients=documents(BEGIN + PERIOD),
        listener=lambda now: 7 if now < BEGIN + 40 else 8,
        metrics=False,
    )
    assert Simulation(engine).run(BEGIN + 120).window.habits.lull.seconds == 0


def test_a_sleep_beside_users_is_no_lull() -> None:
    engine = Engine(asleep=between(BEGIN, BEGIN + 40), clients=documents(BEGIN + PERIOD), metrics=False)
    assert Simulation(engine).run(BEGIN + 120).window.habits.lull.seconds == 0


def test_a_silence_that_was_not_seen_is_no_lull() -> None:
    engine = Engine(silent=between(BEGIN, BEGIN + 40), clients=documents(BEGIN + PERIOD), metrics=False)
    asleep = between(BEGIN + 2, BEGIN + 39)
    assert Simulation(engine, asleep_watchdog=asleep).run(BEGIN + 120).window.habits.lull.seconds < 5


def test_a_silence_of_a_canary_that_is_alone_teaches_nothing() -> None:
    engine = Engine(silent=between(BEGIN, BEGIN + 15), metrics=False)
    assert Simulation(engine).run(BEGIN + 120).window.habits.lull.seconds == 0


def test_nobody_silent_is_no_lull() -> None:
    engine = Engine(silent=never, clients=documents(BEGIN + 600), metrics=False)
    assert Simulation(engine).run(BEGIN + 600).window.habits.lull.seconds == 0
