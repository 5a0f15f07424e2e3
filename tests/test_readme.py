"""The README's tables are tied to the closed vocabularies: a new reason without a row is a failing test."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_watchdog.api.reasons import FaultClass, FindingReason, Outcome

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.parametrize("reason", FindingReason)
def test_every_reason_has_a_row(reason: FindingReason) -> None:
    assert f"| `{reason}` |" in README


@pytest.mark.parametrize("fault", FaultClass)
def test_every_fault_class_has_a_row(fault: FaultClass) -> None:
    assert f"| `{fault}` |" in README


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_row(outcome: Outcome) -> None:
    assert f"| `{outcome}` |" in README
