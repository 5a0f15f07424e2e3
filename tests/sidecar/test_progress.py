"""What the engine made for others, from its own counters."""

from __future__ import annotations

import pytest

from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.check_rounds import Arm, CheckAnswer, CheckKind, CheckObservation
from llm_watchdog.core.intake import observe_all
from llm_watchdog.core.observations import (
    AnswerKind,
    MetricsObservation,
    MetricsReading,
    SocketSample,
    SocketsObservation,
)
from llm_watchdog.core.progress import foreign_progress
from llm_watchdog.core.window import Window


def page(at: float, tokens: float) -> MetricsObservation:
    return MetricsObservation(at=at, kind=AnswerKind.ANSWERED, reading=MetricsReading(generation_tokens=tokens))


def test_a_stream_of_a_check_is_counted_once() -> None:
    stream = CanaryObservation(
        id="c1", shape="s", started_at=3, finished_at=4, outcome=CanaryOutcome.SUCCEEDED, tokens=30, max_tokens=30
    )
    answer = CheckAnswer(prompt="p", arm=Arm.ALONE, canary=stream)
    check = CheckObservation(kind=CheckKind.FINGERPRINT, started_at=3, at=4, key="k", answers=(answer,))
    assert foreign_progress(page(0, 100), page(10, 150), [stream], [check]) == 20
    assert foreign_progress(page(0, 100), page(10, 150), [], [check]) == 20
    assert foreign_progress(page(0, 100), page(10, 130), [stream], [check]) == 0


def looks(*, outstanding: int = 0, readable: bool = True) -> list[SocketsObservation]:
    """Somebody's request has been open since the first look, or nobody's is."""
    samples = [
        SocketSample(peer=f"10.0.0.1:{port}", own=False, open=True, received=600, acked=0)
        for port in range(outstanding)
    ]
    return [
        SocketsObservation(at=at, readable=readable, listeners=frozenset({7}), samples=tuple(samples))
        for at in range(1, 10)
    ]


@pytest.mark.parametrize(
    ("tokens", "sockets", "life"),
    [
        (104, looks(), None),
        (140, looks(), 0),
        (104, looks(readable=False), 0),
        (104, [], 0),
        (104, looks(outstanding=1), 0),
    ],
    ids=["ours alone", "more than ours", "not readable", "not looked at", "somebody waits"],
)
def test_what_moves_for_our_own_silent_canary_is_no_life(
    tokens: float, sockets: list[SocketsObservation], life: float | None
) -> None:
    asked = CanaryObservation(id="c1", shape="s", started_at=0, outcome=CanaryOutcome.IN_PROGRESS, max_tokens=4)
    window = observe_all(Window(), [asked, page(0, 100), *sockets, page(10, tokens)])
    assert window.last_life_at == life
