"""How far an answer departs from this replica's own: a near tie is none, and not everything that looks alike is one."""

from __future__ import annotations

import pytest

from llm_watchdog.api.fingerprint import CLEAR, NONE, TIE
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Content
from llm_watchdog.core.signature import departure, signature


def answer(ids: tuple[int, ...], logprobs: tuple[float, ...]) -> CanaryObservation:
    return CanaryObservation(
        id="c",
        shape="s",
        started_at=0,
        finished_at=1,
        outcome=CanaryOutcome.SUCCEEDED,
        tokens=len(ids),
        finish="length",
        content=Content(token_ids=ids, logprobs=logprobs),
    )


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        (-0.8, -0.8, TIE),
        (-0.72, -0.78, TIE),
        (-0.8, -1.5, CLEAR),
        (-0.46, -0.46, CLEAR),  # 63 % each
        (-0.01, -0.01, CLEAR),
        (-0.65, -0.7, TIE),  # 102 % together: noise
    ],
)
def test_two_tokens_of_one_distribution(own: float, other: float, expected: float) -> None:
    base = signature("p", [answer((1, 2), (-0.3, own))])
    assert departure(base, answer((1, 9), (-0.3, other))) == expected
    assert departure(base, answer((1, 2), (-0.3, own))) == NONE
