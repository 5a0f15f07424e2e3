"""Part B of the fault list: what looks like a fault and is none. And each reason has a case in which it is true."""

from __future__ import annotations

from typing import Final

import pytest

from llm_watchdog.api.reasons import REASONS, FaultClass, FindingReason, VerdictState
from tests.sidecar.detectors import (
    test_engine_dead,
    test_incomplete_stream,
    test_leaked_concurrency,
    test_stalled_stream,
)
from tests.sidecar.detectors.stage import BEGIN, Odd, played
from tests.sidecar.simulation import Client, between

_R = FindingReason

HAVE_OWN_TESTS: Final = {
    _R.BEYOND_LIMIT,
    _R.FIRST_TOKEN_SLOWING,
    _R.NO_STOP,
    _R.SLOTS_NOT_RETURNED,
    _R.STARVATION,
    _R.START_TIMED_OUT,
    _R.TOKENS_FOR_NOBODY,
    _R.UPSTREAM_FAILED,
    _R.USER_STREAM_STALLED,
}
"""In the test of their class, or of the checks."""
LOOKED_AT: Final = (
    FaultClass.ENGINE_DEAD,
    FaultClass.STALLED_STREAM,
    FaultClass.LEAKED_CONCURRENCY,
    FaultClass.RUNAWAY_GENERATION,
    FaultClass.INCOMPLETE_STREAM,
)
"""By canaries, metrics and status calls; the others need checks or a sleep."""


def test_every_reason_has_a_true_case() -> None:
    reasons = {reason for _, reason, _, _ in test_stalled_stream.HANGS.values()}
    reasons |= {reason for _, reason in test_incomplete_stream.TRUE_CASES.values()}
    reasons |= {reason for _, reason in test_engine_dead.TRUE_CASES.values()}
    reasons |= {reason for _, _, reason in test_leaked_concurrency.FULL.values()}
    reasons |= {reason for _, reason in test_leaked_concurrency.PARTIAL.values()}
    assert {reason for fault in LOOKED_AT for reason in REASONS[fault]} - reasons == HAVE_OWN_TESTS


def crowd(size: int, *, at: float = 5.0) -> list[Client]:
    return [Client(at=at + 0.1 * n, peer=f"10.0.0.9:{n}:1") for n in range(size)]


PART_B = {
    "F1 health in 1.03 s": Odd(health_seconds=1.03),
    "F2 long chunked prefill": Odd(
        silent=between(BEGIN, BEGIN + 90),
        kv_rises=between(BEGIN, BEGIN + 90),
        clients=[Client(at=BEGIN - 1, request_bytes=400_000, first_token_after=1e9)],
    ),
    "F5 kernel compile of 70 s": Odd(silent=between(BEGIN, BEGIN + 70), clients=crowd(8)),
    "F6 weight transfer, declared as a pause": Odd(asleep=between(BEGIN, BEGIN + 300)),
    "F6 weight transfer, 503 meanwhile": Odd(errors=between(BEGIN, BEGIN + 300), error_status=503),
    "F7 health 503 when busy": Odd(unhealthy=between(BEGIN), clients=crowd(8)),
    "F8 asked before it was up": Odd(refuses=between(0, BEGIN)),
    "F9 burst of 1,280": Odd(queued=between(BEGIN, BEGIN + 120), clients=crowd(1280, at=BEGIN)),
    "F10 one slow answer now and then": Odd(first_token=lambda now: 4.0 if now % 40 < 2 else 0.05),
    "F12 queue full, 429": Odd(errors=between(BEGIN, BEGIN + 120), error_status=429, clients=crowd(16)),
    "F12 queue full, 503": Odd(errors=between(BEGIN, BEGIN + 120), error_status=503, clients=crowd(16)),
    "F14 F15 one long request, counters at its end": Odd(clients=[Client(at=BEGIN)], metrics=False),
    "F16 counters stand still in a prefill": Odd(
        silent=between(BEGIN, BEGIN + 60), clients=[Client(at=BEGIN - 1, request_bytes=400_000, first_token_after=1e9)]
    ),
    "F18 a slow local server": Odd(first_token=lambda _now: 4.5),
    "F18 slower than the default time-out": Odd(first_token=lambda _now: 12.0),
    "F18 a model on a small machine": Odd(first_token=lambda _now: 25.0),
    "F18 tokens that come one by one": Odd(seconds_per_token=7.0),
    "F19 a restore that takes its time": Odd(
        silent=between(BEGIN, BEGIN + 300), listener=lambda now: 7 if now < BEGIN else 8
    ),
}

ELSEWHERE: Final = {
    "F3": "at most one canary is outstanding, and its connection is closed at its time-out: test_watcher",
    "F4": "the cost of canaries is bounded: test_watcher",
    "F11": "the operator keeps the last replica in rotation: tests/operator/test_grants",
    "F13": "a router's own probe",
    "F17": "no log is read",
    "F20": "the engine's life does not hang on the watchdog's: test_supervisor",
}


def test_every_row_of_part_b_is_spoken_of() -> None:
    spoken = {word for name in PART_B for word in name.split() if word[0] == "F" and word[1:].isdigit()}
    assert spoken | set(ELSEWHERE) == {f"F{n}" for n in range(1, 21)}


@pytest.mark.parametrize("name", PART_B)
def test_a_healthy_server_is_not_killed_and_leaves_no_record(name: str) -> None:
    stage = played(PART_B[name], BEGIN + 330)
    assert stage.first(VerdictState.FAULTY) is None
    assert stage.incidents() == set()
    assert stage.verdict.is_well
