"""The demo says of lost requests what was seen of them, and no more."""

from __future__ import annotations

from typing import Any

from e2e.demo import told_losses
from e2e.lab.access_logs import PROPAGATION_SECONDS

LEFT_AT = 106.0


def report(start: float, outcome: str = "ok") -> dict[str, Any]:
    return {"start": start, "outcome": outcome}


def test_losses_before_and_after_the_cut_are_told_apart() -> None:
    fine = [report(100.0), report(120.0)]
    early, at_the_cut = report(101.0, "timeout"), report(LEFT_AT + PROPAGATION_SECONDS / 2, "cut")
    late = report(LEFT_AT + 2 * PROPAGATION_SECONDS, "refused")
    assert told_losses(fine, LEFT_AT) == "2 requests, none failed"
    assert told_losses([*fine, early, at_the_cut], LEFT_AT) == (
        "4 requests, 2 failed: 2 begun before the replica was cut off, 0 after"
    )
    assert (
        told_losses([early, late], LEFT_AT) == "2 requests, 2 failed: 1 begun before the replica was cut off, 1 after"
    )


def test_without_a_cut_there_is_no_before() -> None:
    assert told_losses([report(1.0, "timeout")], None) == "1 requests, 1 failed; the replica was never cut off"
