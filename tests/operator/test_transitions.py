"""Which changes of the conditions are news."""

from __future__ import annotations

from typing import Any

import pytest

from llmworker_operator.reconcile.status import TOLD, transitions


def status(*conditions: tuple[str, str, str]) -> dict[str, Any]:
    return {"conditions": [{"type": t, "status": "True", "reason": r, "message": m} for t, r, m in conditions]}


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    return [(change.type, change.reason) for change in transitions(before, after)]


def test_the_first_status_is_news() -> None:
    assert told({}, status(("Limited", "NoFlush", "a"))) == [("Limited", "NoFlush")]


def test_numbers_in_a_message_are_none() -> None:
    before, after = (
        status(("Available", "EnoughInRotation", "1 of 2")),
        status(("Available", "EnoughInRotation", "2 of 2")),
    )
    assert not told(before, after)


def test_other_limits_with_the_same_reason_are() -> None:
    """The spec was changed: what stands in the message is no number."""
    before, after = status(("Limited", "NoFlush", "a")), status(("Limited", "NoFlush", "a; b"))
    assert told(before, after) == [("Limited", "NoFlush")]
    assert not told(after, after)


def test_the_end_of_a_limit_is() -> None:
    assert told(status(("Limited", "NoFlush", "a")), status()) == [("Limited", "Over")]


@pytest.mark.parametrize(
    "kind",
    [
        "Stalled",
        "Degraded",
        "RemediationHeld",
        "Limited",
        "NodeSuspect",
        "ReplicasDisagree",
        "Paused",
        "PauseUnreadable",
    ],
)
def test_what_a_person_may_have_to_act_on_is_an_event(kind: str) -> None:
    assert kind in TOLD
