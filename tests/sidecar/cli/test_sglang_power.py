"""SGLang's sleep with real processes: it dies of a busy release and of a second resume, and tells nobody its state.

`run` knows no worker, so the wish stands in the journal already, as for a watchdog that has lost the API server.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llm_watchdog.core.situation import PowerWish
from llm_watchdog.journal import Journal
from tests.sidecar.cli.host import until

if TYPE_CHECKING:
    from tests.sidecar.cli.host import Host, Watchdog

SLEEP = ["/pause_generation", "/flush_cache", "/release_memory_occupation"]
WAKE = ["/resume_memory_occupation", "/flush_cache", "/continue_generation"]


def begin(host: Host, *, asleep: bool) -> Watchdog:
    """Nobody may have the journal open."""
    host.journal.mkdir(exist_ok=True)
    journal = Journal(host.journal)
    replica = journal.replay().replica
    wish = PowerWish(asleep=asleep, ours=True)
    assert journal.write(replace(replica, power=replace(replica.power, wish=wish)))
    return host.run("--engine", "sglang", "--restart-command", host.restart_command)


def stage(watchdog: Watchdog) -> str | None:
    """None until it has found its engine."""
    replica = watchdog.status().get("replica")
    return None if replica is None else replica["power"]["stage"]


def called(host: Host) -> list[tuple[str, int]]:
    told = [(event["path"], event["status"]) for event in host.engine_events("finished")]
    return [(path, status) for path, status in told if path in {*SLEEP, *WAKE}]


def generated(host: Host) -> int:
    return sum(event["path"] == "/generate" for event in host.engine_events("accepted"))


def test_it_sleeps_through_the_death_of_its_watchdog_and_is_woken_once(host: Host) -> None:
    host.start_engine("--dialect", "sglang", "--enable-memory-saver")
    first = begin(host, asleep=False)
    until("in rotation", first.serves)
    assert generated(host) > 0, "it was let in without a canary"
    assert first.stop() == 0
    second = begin(host, asleep=True)
    until("asleep", lambda: stage(second) == "Asleep")
    assert second.status()["rotation"]["reason"] == "Asleep"
    assert called(host) == [(path, 200) for path in SLEEP]
    second.kill()
    before = generated(host)
    third = begin(host, asleep=False)
    until("in rotation again", third.serves)
    assert called(host) == [(path, 200) for path in [*SLEEP, *WAKE]]
    assert generated(host) > before, "it was let in again without a canary"
    assert host.engine_answers()
    assert host.ran == 0
