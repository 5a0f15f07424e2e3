"""What the engine made for others, from its own counters."""

from __future__ import annotations

from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.check_rounds import Arm, CheckAnswer, CheckKind, CheckObservation
from llm_watchdog.core.observations import AnswerKind, MetricsObservation, MetricsReading
from llm_watchdog.core.progress import foreign_progress


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
