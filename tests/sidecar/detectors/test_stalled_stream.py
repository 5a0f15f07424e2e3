"""`StalledStream`: hangs, what learned deadlines allow, what waits beside life, and when it is an incident."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from llm_watchdog.api.policy import WatchdogPolicy
from llm_watchdog.api.reasons import FaultClass, FindingReason, VerdictState
from llm_watchdog.api.thresholds import DetectorsPolicy, StalledStreamPolicy
from tests.sidecar.detectors.stage import BEGIN, Odd, Stage, played
from tests.sidecar.simulation import Client, between

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_watchdog.core.observations import MetricsReading

FAULT = FaultClass.STALLED_STREAM
FIXED = WatchdogPolicy(detectors=DetectorsPolicy(stalled_stream=StalledStreamPolicy(learn=False)))


def crowd(size: int = 8) -> list[Client]:
    return [Client(at=5 + n, peer=f"10.0.0.9:{n}:1") for n in range(size)]


def queue(running: float = 0.0, waiting: float = 3.0) -> Callable[[float, MetricsReading], MetricsReading]:
    return lambda now, r: replace(r, running=running, waiting=waiting, kv_usage=0.1) if now >= BEGIN else r


HANGS = {
    # A1, A6, A9-A14, A17, A19, A22, A25, A26, A28, A30: idle, warm, silent; health 200 all the while
    "A1 idle": (Odd(silent=between(BEGIN)), FindingReason.NO_FIRST_TOKEN, 20, 23),
    # A2
    "A2 waiting 3, running 0, cache free": (
        Odd(silent=between(BEGIN), page=queue(), clients=[Client(at=BEGIN - 1, headers_bytes=0)]),
        FindingReason.ADMISSION_STALLED,
        100,
        118,
    ),
    # A3, A4, A7
    "A4 running 1, no token, under load": (
        Odd(silent=between(BEGIN), clients=crowd()),
        FindingReason.NO_PROGRESS,
        100,
        118,
    ),
    # A18, A24: it begins, and stops moving
    "A18 stops after two tokens": (Odd(stalls_after_two=between(BEGIN)), FindingReason.TOKEN_GAP, 20, 32),
    # A15, A29: even the web server is gone
    "A15 frozen server": (Odd(frozen_server=between(BEGIN)), FindingReason.NO_FIRST_TOKEN, 20, 23),
    # A20: queued for ever after an idle sleep; A23: slower and slower, then endless
    "A23 slower and slower, then endless": (
        Odd(first_token=lambda now: 0.5 if now < BEGIN - 60 else min(60.0, 0.5 * 1.2 ** ((now - BEGIN + 60) / 4))),
        FindingReason.NO_FIRST_TOKEN,
        0,
        130,
    ),
}


@pytest.mark.parametrize("name", HANGS)
def test_a_hang_is_found(name: str) -> None:
    engine, reason, earliest, latest = HANGS[name]
    stage = played(engine, BEGIN + 130)
    faulty = stage.when(reason, faulty=True)
    assert faulty is not None
    assert earliest <= faulty <= latest
    assert stage.incidents() == {FAULT}


def test_an_incident_opens_at_twice_the_deadline_of_an_idle_engine_and_rotation_is_left_at_once() -> None:
    stage = played(Odd(silent=between(BEGIN)), BEGIN + 30)
    left, opened = stage.when(FindingReason.NO_FIRST_TOKEN), stage.when(FindingReason.NO_FIRST_TOKEN, incident=True)
    assert left is not None
    assert opened is not None
    assert left <= 7.5
    assert 10 <= opened <= 12.5


@pytest.mark.parametrize("stall", [12.0, 40.0, 70.0])
@pytest.mark.parametrize("readable", [True, False])
def test_a_compile_under_load_leaves_rotation_and_no_record(stall: float, *, readable: bool) -> None:
    """F5: kernel compiles of 30 to 70 s."""
    busy = Odd(silent=between(BEGIN, BEGIN + stall), clients=crowd(), sockets_readable=readable)
    stage = played(busy, BEGIN + stall + 60)
    assert VerdictState.SUSPECT in stage.states(BEGIN)
    assert stage.incidents() == set()
    assert stage.verdict.is_well


def test_an_idle_hiccup_of_8_seconds_leaves_no_record() -> None:
    assert played(Odd(silent=between(BEGIN, BEGIN + 8)), BEGIN + 60).incidents() == set()


# Deadlines are learned.


@pytest.mark.parametrize("seconds", [12.0, 25.0])
def test_a_hang_of_a_slow_server_is_found_in_its_own_time(seconds: float) -> None:
    begin = 600.0
    slow = Odd(first_token=lambda _now: seconds, silent=between(begin))
    stage = played(slow, begin + 20 * seconds)
    assert stage.first(VerdictState.FAULTY) is not None
    faulty = stage.when(FindingReason.NO_FIRST_TOKEN, faulty=True)
    assert faulty is not None
    assert begin - BEGIN + 2 * seconds < faulty < begin - BEGIN + 12 * seconds


@pytest.mark.parametrize(("seconds", "samples"), [(7.0, 60.0), (8.5, 60.0)])
def test_a_model_that_is_always_slow_is_slow_and_not_suspect(seconds: float, samples: float) -> None:
    """F18: fixed limits killed busy local servers."""
    stage = played(Odd(first_token=lambda _now: seconds), samples * (seconds + 2) + 60)
    assert stage.incidents() == set()
    assert VerdictState.SUSPECT not in stage.states(40 * (seconds + 2))
    fixed = Stage(Odd(first_token=lambda _now: seconds), policy=FIXED).run(300)
    assert VerdictState.SUSPECT in fixed.states(), "what it would be without"


def test_a_slow_model_that_hangs_is_found_later_and_not_much_later() -> None:
    begin = 600.0
    stage = Stage(Odd(first_token=lambda _now: 7.0, silent=between(begin))).run(begin + 120)
    assert stage.verdict.state is VerdictState.FAULTY
    first = next(at for at, verdict in stage.verdicts if at > begin and verdict.state is VerdictState.FAULTY)
    assert 20 <= first - begin <= 90


@pytest.mark.parametrize(("kv", "incidents"), [(0.2, {FaultClass.STALLED_STREAM}), (0.97, set())])
def test_streams_that_stop_half_way_in_a_crowd_are_told_where_the_cache_has_room(
    kv: float, incidents: set[FaultClass]
) -> None:
    """Where it has none, the newest request is preempted for as long as the crowd stays (vLLM)."""
    crowded = Odd(
        stalls_after_two=between(BEGIN),
        clients=[Client(at=BEGIN - 5 + n, peer=f"10.0.0.9:{n}:1") for n in range(8)],
        page=lambda _now, reading: replace(reading, kv_usage=kv),
    )
    stage = played(crowded, BEGIN + 600)
    assert stage.incidents() == incidents
    assert stage.first(VerdictState.FAULTY) is None


def lost_half_way(**parts: object) -> list[Client]:
    """Users whose answers stop after some tokens, as everybody's do; each stays for as long as its patience lasts."""
    users = [Client(at=BEGIN + 20 * n, peer=f"10.0.0.9:{n}:1", stalls_after=0.6) for n in range(10)]
    return [replace(user, **parts) for user in users]  # type: ignore[arg-type]


def test_when_everybodys_streams_stop_half_way_the_replica_leaves_and_is_restarted() -> None:
    """A16, where nothing but sockets tells of the others: each new stream shows a token or two, and none goes on."""
    stage = played(Odd(stalls_after_two=between(BEGIN), clients=lost_half_way(), metrics=False), BEGIN + 200)
    left = next(at - BEGIN for at, verdict in stage.verdicts if any(found.silent for found in verdict.findings))
    faulty = stage.when(FindingReason.TOKEN_GAP, faulty=True)
    assert faulty is not None
    assert left <= 40
    assert 90 <= faulty <= 180
    assert stage.incidents() == {FAULT}


@pytest.mark.parametrize(
    "others",
    [
        [Client(at=BEGIN - 5, stalls_after=600)],  # streams, so that the canary may have given way to it
        [Client(at=BEGIN + 7 * n, until=BEGIN + 7 * n + 6, peer=f"10.0.0.9:{n}:1", headers_bytes=0, chunk_bytes=0)
         for n in range(80)],  # answered as a whole, without a byte before
    ],
)  # fmt: skip
def test_a_canary_that_stops_half_way_while_others_may_be_served_restarts_nothing(others: list[Client]) -> None:
    stage = played(Odd(stalls_after_two=between(BEGIN), clients=others, metrics=False), BEGIN + 400)
    assert stage.first(VerdictState.FAULTY) is None
    assert stage.incidents() == set()


def test_streams_that_stop_half_way_beside_nobody_any_more_are_judged_as_alone() -> None:
    """Out of rotation: the users who were there at first are gone."""
    users = [Client(at=BEGIN - 5, until=BEGIN + 40)]
    stage = played(Odd(stalls_after_two=between(BEGIN), clients=users, metrics=False), BEGIN + 150)
    faulty = stage.when(FindingReason.TOKEN_GAP, faulty=True)
    assert faulty is not None
    assert 60 <= faulty <= 100


def test_below_thirty_samples_what_comes_after_the_first_answers_moves_no_deadline() -> None:
    stage = Stage(Odd(first_token=lambda now: 0.05 if now < 7.0 else 7.0)).run(25 * 9.0)
    assert VerdictState.SUSPECT in stage.states(20 * 9.0)


def test_nothing_is_learned_from_a_sick_period() -> None:
    stage = Stage(Odd(silent=lambda now: now % 100 > 50)).run(3000)
    assert stage.states() >= {VerdictState.FAULTY}
    assert all(habit.mean < 0 for habit in stage.window.habits.first_token.values()), "none took a second"


def test_a_fast_model_keeps_its_floors() -> None:
    stage = played(Odd(silent=between(BEGIN)), BEGIN + 30)
    assert stage.when(FindingReason.NO_FIRST_TOKEN) == pytest.approx(6, abs=1.5)


def test_what_was_learned_outlives_a_restart() -> None:
    stage = Stage(Odd(first_token=lambda _now: 7.0, listener=lambda now: 7 if now < 600 else 8)).run(700)
    assert VerdictState.SUSPECT not in stage.states(620)


# What waits beside life.


def test_a_time_to_first_token_that_grows_while_the_load_does_not() -> None:
    """A12, A23."""
    begin = 600.0
    slower = Odd(first_token=lambda now: 0.05 if now < begin else min(4.5, 1.0 + (now - begin) / 30))
    stage = Stage(slower).run(begin + 120)
    found = {f.reason for _, verdict in stage.verdicts for f in verdict.findings if f.incident}
    assert found == {FindingReason.FIRST_TOKEN_SLOWING}
    assert stage.first(VerdictState.FAULTY) is None


def test_a_time_to_first_token_that_grows_with_the_load_is_a_load() -> None:
    slower = Odd(first_token=lambda now: 0.05 if now < BEGIN else min(4.5, 1.0 + (now - BEGIN) / 30), clients=crowd())
    assert played(slower, BEGIN + 400).incidents() == set()


def test_a_time_to_first_token_that_is_slow_and_stays_so_is_none() -> None:
    assert played(Odd(first_token=lambda now: 0.05 if now < BEGIN else 3.0), BEGIN + 200).incidents() == set()


def test_a_queue_that_only_users_stand_in() -> None:
    """A38: parked requests block the admission of users; canaries pass."""
    users = [Client(at=BEGIN + n, peer=f"10.0.0.9:{n}:1", chunk_bytes=0) for n in range(3)]
    stage = played(Odd(page=queue(), clients=users), BEGIN + 200)
    at = stage.when(FindingReason.ADMISSION_STALLED, incident=True)
    assert at is not None
    assert 120 <= at <= 130
    assert stage.first(VerdictState.FAULTY) is None, "others are served"


def test_one_users_request_without_a_byte_is_told_and_nothing_more() -> None:
    """A16, A28."""
    stage = played(Odd(clients=[*crowd(), Client(at=BEGIN, peer="stalled", headers_bytes=0, chunk_bytes=0)]))
    at = stage.when(FindingReason.USER_STREAM_STALLED)
    assert at is not None
    assert 120 <= at <= 122
    assert stage.incidents() == set()
    assert not any(finding.moves for finding in stage.verdict.findings)
    assert stage.verdict.is_well


@pytest.mark.parametrize(
    "client",
    [
        Client(at=BEGIN, chunk_bytes=0, headers_bytes=4000),  # idle in a pool
        Client(at=BEGIN, request_bytes=100, headers_bytes=0, chunk_bytes=0),  # no generation request
        Client(at=BEGIN, headers_bytes=0, first_token_after=100),
    ],
)
def test_other_connections_are_not(client: Client) -> None:
    stage = played(Odd(clients=[*crowd(), replace(client, peer="odd")]), BEGIN + 200)
    assert not stage.reasons()


def test_a_canary_behind_a_crowd_is_told_and_nothing_more() -> None:
    stage = played(Odd(queued=between(BEGIN), clients=crowd(64)), BEGIN + 400)
    assert stage.reasons() == {FindingReason.NO_FIRST_TOKEN}
    assert stage.incidents() == set()
