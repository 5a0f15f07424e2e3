"""Every row of the two fault lists is spoken of: found by a reason that has a true case, or said to be out of sight."""

from __future__ import annotations

from typing import Final

import pytest

from llm_watchdog.api.reasons import FindingReason, VerdictState
from tests.sidecar.detectors import (
    test_engine_dead,
    test_incomplete_stream,
    test_leaked_concurrency,
    test_stalled_stream,
)
from tests.sidecar.detectors.stage import BEGIN, Odd, played
from tests.sidecar.simulation import Client, between

_R = FindingReason

SEEN_BY: Final = {
    _R.NO_FIRST_TOKEN: (1, 5, 6, 9, 10, 11, 13, 17, 19, 20, 22, 23, 25, 26, 30, 41),
    _R.ADMISSION_STALLED: (2, 38),
    _R.NO_PROGRESS: (3, 4, 7, 14, 15, 24),
    _R.COMPLETIONS_FAILING: (8,),
    _R.FIRST_TOKEN_SLOWING: (12,),
    _R.USER_STREAM_STALLED: (16, 28),
    _R.TOKEN_GAP: (18,),
    _R.SLOTS_WITHOUT_PROGRESS: (21, 37),
    _R.RUNNING_WITHOUT_CLIENTS: (27,),
    _R.QUEUE_AT_LIMIT: (31, 32, 33),
    _R.SLOT_PROBE_HANGS: (34, 35, 36),
    _R.CACHE_HELD_WHILE_IDLE: (39,),
    _R.STARVATION: (42,),
    _R.BEYOND_LIMIT: (43,),
    _R.TOKENS_FOR_NOBODY: (45,),
    _R.NO_FINISH_REASON: (46, 47),
    _R.BODY_CUT: (48,),
    _R.NO_TERMINATOR: (49,),
}

OUT_OF_SIGHT: Final = {
    29: "a router's fault: the engine behind it is well",
    40: "the process ends by itself, and Kubernetes restarts it",
    44: "an answer of a user's own kind (guided JSON), which no canary asks for",
}

HAVE_OWN_TESTS: Final = {
    _R.FIRST_TOKEN_SLOWING,
    _R.USER_STREAM_STALLED,
    _R.STARVATION,
    _R.BEYOND_LIMIT,
    _R.TOKENS_FOR_NOBODY,
}


def test_every_row_of_part_a_is_spoken_of_once() -> None:
    rows = [row for found in SEEN_BY.values() for row in found] + list(OUT_OF_SIGHT)
    assert sorted(rows) == list(range(1, 50))


def test_every_reason_has_a_true_case() -> None:
    reasons = {reason for _, reason, _, _ in test_stalled_stream.HANGS.values()}
    reasons |= {reason for _, reason in test_incomplete_stream.TRUE_CASES.values()}
    reasons |= {reason for _, reason in test_engine_dead.TRUE_CASES.values()}
    reasons |= {reason for _, _, reason in test_leaked_concurrency.FULL.values()}
    reasons |= {reason for _, reason in test_leaked_concurrency.PARTIAL.values()}
    assert set(SEEN_BY) - reasons == HAVE_OWN_TESTS


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
