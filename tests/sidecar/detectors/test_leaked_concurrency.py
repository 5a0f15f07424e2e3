"""`LeakedConcurrency`: what is held for nobody; and full houses, whose streams move."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType
from llm_watchdog.api.reasons import REASONS, FaultClass, FindingReason, VerdictState
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Flaw
from llm_watchdog.core.held import slots_held
from llm_watchdog.core.intake import observe
from llm_watchdog.core.observations import AnswerKind, StatusObservation, StatusReading
from llm_watchdog.core.window import Window
from tests.sidecar.detectors.stage import BEGIN, Odd, played
from tests.sidecar.simulation import Client, between

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_watchdog.core.observations import MetricsReading

FAULT = FaultClass.LEAKED_CONCURRENCY
FASTCHAT = EngineTarget(type=EngineType.FASTCHAT, concurrency=5)
LLAMACPP = EngineTarget(type=EngineType.LLAMACPP)


def busy(count: int, begin: float = BEGIN) -> Callable[[float], StatusReading]:
    return lambda now: StatusReading(busy=count if now >= begin else 0)


def slots(count: int, *, progress: float = 9.0, until: float = 1e9) -> Callable[[float], StatusReading]:
    """llama.cpp's /slots: how many are processing, and how far they all are."""
    return lambda now: StatusReading(slots=4, busy=count if BEGIN <= now < until else 0, progress=progress)


def page(**fields: Any) -> Callable[[float, MetricsReading], MetricsReading]:
    return lambda now, reading: replace(reading, **fields) if now >= BEGIN else reading


def full_house(*, moving: bool = True) -> list[Client]:
    chunk = 250 if moving else 0
    return [Client(at=BEGIN - 5 + n / 10, peer=f"10.0.0.9:{n}:1", chunk_bytes=chunk) for n in range(5)]


FULL = {
    # A31, A32, A33: the permits are never released; no canary is sent to a worker at its limit
    "A31 FastChat at its limit": (
        Odd(status=busy(5), asked=lambda now: now < BEGIN, silent=between(BEGIN), metrics=False),
        FASTCHAT,
        FindingReason.QUEUE_AT_LIMIT,
    ),
    "A32 FastChat, and users queue up behind": (
        Odd(
            status=lambda now: StatusReading(busy=0 if now < BEGIN else 5 + min(3, int((now - BEGIN) / 20))),
            asked=lambda now: now < BEGIN,
            silent=between(BEGIN),
            clients=[Client(at=BEGIN + 20 * n, peer=f"10.0.0.9:{n}:1", headers_bytes=0) for n in range(1, 4)],
            metrics=False,
        ),
        FASTCHAT,
        FindingReason.QUEUE_AT_LIMIT,
    ),
    # A34, A35, A36
    "A35 DB-GPT: the call for a slot hangs": (
        Odd(
            status=lambda now: AnswerKind.SILENT if now >= BEGIN else AnswerKind.ANSWERED,
            silent=between(BEGIN),
            metrics=False,
        ),
        EngineTarget(type=EngineType.DBGPT),
        FindingReason.SLOT_PROBE_HANGS,
    ),
    # A37, A18: all slots are processing and none decodes
    "A37 llama.cpp: all slots busy": (
        Odd(status=slots(4), silent=between(BEGIN), metrics=False, asked=lambda now: now < BEGIN - 1),
        LLAMACPP,
        FindingReason.SLOTS_WITHOUT_PROGRESS,
    ),
    "A37 llama.cpp: all slots busy, and canaries wait in vain": (
        Odd(status=slots(4), silent=between(BEGIN + 0.5), metrics=False),
        LLAMACPP,
        FindingReason.SLOTS_WITHOUT_PROGRESS,
    ),
    # A21
    "A21 ollama: Stopping...": (
        Odd(
            status=lambda now: StatusReading(busy=0, leaving="Stopping..." if now >= BEGIN else ""),
            silent=between(BEGIN),
            asked=lambda now: now < BEGIN,
            metrics=False,
        ),
        EngineTarget(type=EngineType.OLLAMA),
        FindingReason.SLOTS_WITHOUT_PROGRESS,
    ),
}

PARTIAL = {
    "A37 llama.cpp: one slot busy, beside a call that tells of no slot": (
        Odd(status=slots(1), more=lambda _now: StatusReading(slots=4)),
        FindingReason.SLOTS_WITHOUT_PROGRESS,
    ),
    "A37 llama.cpp: one slot busy, canaries pass": (Odd(status=slots(1)), FindingReason.SLOTS_WITHOUT_PROGRESS),
    # A5, A27, A41
    "A5 vLLM: running 1 for nobody": (Odd(page=page(running=1.0)), FindingReason.RUNNING_WITHOUT_CLIENTS),
    # A39
    "A39 vLLM: blocks that are never freed": (Odd(page=page(kv_usage=0.3)), FindingReason.CACHE_HELD_WHILE_IDLE),
}

FALSE_CASES = {
    "five long streams": (Odd(status=busy(5, BEGIN - 5), clients=full_house()), FASTCHAT),
    "a queue of twelve behind five streams": (Odd(status=busy(12, BEGIN - 5), clients=full_house()), FASTCHAT),
    "DB-GPT: long user streams hold all slots": (
        Odd(status=lambda now: AnswerKind.SILENT if now >= BEGIN else AnswerKind.ANSWERED, clients=full_house()),
        EngineTarget(type=EngineType.DBGPT),
    ),
    "llama.cpp: four slots that decode": (
        Odd(status=lambda now: StatusReading(slots=4, busy=4, progress=now), clients=full_house()),
        LLAMACPP,
    ),
    "a crowd that is over": (Odd(status=slots(4, until=BEGIN + 15)), LLAMACPP),
    "slots that come free and are taken again": (
        Odd(status=lambda now: StatusReading(busy=5 if now % 20 < 15 else 3)),
        FASTCHAT,
    ),
    # vllm#22545: gauges stay high after an abort, until the next step
    "stale gauges without a canary since": (
        Odd(page=page(running=1.0, kv_usage=0.3), asked=lambda now: now < BEGIN - 5),
        EngineTarget(type=EngineType.VLLM),
    ),
    "running for a client that waits": (
        Odd(page=page(running=1.0), clients=[Client(at=BEGIN - 1, chunk_bytes=0)]),
        EngineTarget(type=EngineType.VLLM),
    ),
    "an engine that never shows 0": (Odd(page=lambda _now, r: replace(r, running=1.0, kv_usage=0.2)), LLAMACPP),
    "sockets cannot be read": (Odd(page=page(running=1.0), sockets_readable=False), LLAMACPP),
    "our own canary holds the slot": (
        Odd(status=lambda now: StatusReading(slots=1, busy=int(now >= BEGIN), progress=1.0), silent=between(BEGIN)),
        LLAMACPP,
    ),
}


@pytest.mark.parametrize("name", FULL)
def test_a_full_leak_kills_after_its_restart_deadline(name: str) -> None:
    engine, target, reason = FULL[name]
    stage = played(engine, BEGIN + 190, target=target)
    finding = stage.finding(FAULT)
    assert reason in REASONS[FAULT]
    assert finding is not None
    assert (finding.reason, finding.state, finding.silent) == (reason, VerdictState.FAULTY, True)
    assert stage.incidents() == {FAULT}, "one cause, one incident"
    suspected, faulty = stage.when(reason), stage.when(reason, faulty=True)
    assert suspected is not None
    assert faulty is not None
    assert 20 <= suspected <= 35
    assert 60 <= faulty <= 180


@pytest.mark.parametrize("name", PARTIAL)
def test_a_partial_leak_is_reported_and_kills_late(name: str) -> None:
    engine, reason = PARTIAL[name]
    stage = played(engine, BEGIN + 650)
    reported, faulty = stage.when(reason, incident=True), stage.when(reason, faulty=True)
    assert reported is not None
    assert faulty is not None
    assert 60 <= reported <= 90
    assert 600 <= faulty <= 630
    finding = stage.finding(FAULT)
    assert finding is not None
    assert not finding.silent


def turned_away(**fields: Any) -> Odd:
    return Odd(
        page=lambda now, reading: replace(reading, running=4.0) if now < 20 else page(**fields)(now, reading),
        flaw=lambda now: Flaw.ERROR_IN_STREAM if now >= BEGIN else None,
        flaw_outcome=CanaryOutcome.REJECTED,
        flaw_status=429,
        flaw_tokens=0,
    )


def test_a_full_server_without_clients_that_turns_us_away_is_reported_and_never_restarted() -> None:
    """A34 in a server that has no queue: no canary can show that the gauge is live, but its own 429 does."""
    stage = played(turned_away(running=4.0), BEGIN + 700)
    reported = stage.when(FindingReason.RUNNING_WITHOUT_CLIENTS, incident=True)
    assert reported is not None
    assert 60 <= reported <= 90
    assert stage.when(FindingReason.RUNNING_WITHOUT_CLIENTS, faulty=True) is None


@pytest.mark.parametrize("engine", [turned_away(), turned_away(running=1.0), turned_away(running=2.0)])
def test_429_of_a_server_that_is_not_full_says_nothing(engine: Odd) -> None:
    assert FindingReason.RUNNING_WITHOUT_CLIENTS not in played(engine, BEGIN + 300).reasons()


@pytest.mark.parametrize("name", FALSE_CASES)
def test_is_none(name: str) -> None:
    engine, target = FALSE_CASES[name]
    stage = played(engine, BEGIN + 200, target=target)
    assert FAULT not in {f.fault for _, verdict in stage.verdicts for f in verdict.findings if f.moves}


def test_a_leak_that_ends_is_forgotten_at_once() -> None:
    stage = played(Odd(status=slots(1, until=BEGIN + 100)), BEGIN + 120)
    assert stage.when(FindingReason.SLOTS_WITHOUT_PROGRESS) is not None
    assert stage.verdict.state is VerdictState.HEALTHY


def test_a_full_house_is_remembered_for_as_long_as_users_may_wait_in_it() -> None:
    """Two calls every two seconds. From the third second on a canary of ours waits, and could hold one of the slots."""
    window, since = Window(), 0.0
    for second in range(0, 110, 2):
        now = float(second)
        if second % 10 == 2:
            window = observe(window, silent_canary(now, now + 9.9))
        for name, reading in (("props", StatusReading(slots=4)), ("slots", StatusReading(slots=4, busy=4, progress=9))):
            window = observe(
                window, StatusObservation(at=now, name=name, kind=AnswerKind.ANSWERED, reading=reading, http_status=200)
            )
        held = slots_held(window, LLAMACPP, now)
        assert held is not None
        assert held.all_of_them
        assert held.since == since


def test_a_slot_that_our_own_stream_gives_back_is_no_sign_of_life_of_the_leaked_ones() -> None:
    window = Window()
    for now, busy_slots, own in (
        (10.0, 15, 0),
        (20.0, 16, 1),
        (30.0, 15, 0),
        (40.0, 16, 1),
        (50.0, 15, 0),
        (60.0, 14, 0),
    ):
        window = observe(
            window,
            StatusObservation(
                at=now,
                name="loads",
                kind=AnswerKind.ANSWERED,
                reading=StatusReading(busy=busy_slots),
                http_status=200,
                own_canaries=own,
            ),
        )
        assert window.hold is not None
        assert window.hold.since == (10.0 if now < 60 else 60.0), "one of them came free"


def test_what_we_ask_ourselves_is_held_by_nobody() -> None:
    """Of a round of checks one stream alone is known as a canary; a slow server is never seen without one of ours."""
    window = Window()
    for now, busy_slots, own in ((10.0, 2, 1), (20.0, 1, 1), (30.0, 2, 2), (40.0, 1, 1)):
        reading = StatusReading(busy=busy_slots)
        window = observe(
            window,
            StatusObservation(
                at=now, name="status", kind=AnswerKind.ANSWERED, reading=reading, http_status=200, own_canaries=own
            ),
        )
        assert (window.hold is not None) == (busy_slots > own), now


def silent_canary(begin: float, end: float) -> CanaryObservation:
    return CanaryObservation(
        id=f"c{begin}", shape="s", started_at=begin, finished_at=end, outcome=CanaryOutcome.NO_FIRST_TOKEN, max_tokens=4
    )
