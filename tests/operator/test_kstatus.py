"""The helper follows kstatus, and what the operator writes leads it to the right word."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.kstatus import Result, compute


def document(*conditions: tuple[str, str], observed: int | None = 3, **metadata: Any) -> dict[str, Any]:
    status = {"conditions": [{"type": kind, "status": status} for kind, status in conditions]}
    told = {} if observed is None else {"observedGeneration": observed}
    return {"metadata": {"generation": 3, **metadata}, "status": {**status, **told}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param({"metadata": {"generation": 1}}, Result.CURRENT, id="no status at all"),
        pytest.param(document(("Ready", "True")), Result.CURRENT, id="ready"),
        pytest.param(document(), Result.CURRENT, id="no conditions"),
        pytest.param(document(("Ready", "True"), observed=None), Result.CURRENT, id="no generation told"),
        pytest.param(document(("Ready", "False")), Result.IN_PROGRESS, id="not ready"),
        pytest.param(document(("Ready", "Unknown")), Result.IN_PROGRESS, id="ready is unknown"),
        pytest.param(document(("Ready", "True"), observed=2), Result.IN_PROGRESS, id="an older generation"),
        pytest.param(document(("Stalled", "True"), observed=2), Result.IN_PROGRESS, id="stalled on an older one"),
        pytest.param(document(observed=-1), Result.IN_PROGRESS, id="nobody has looked yet"),
        pytest.param(document(("Ready", "True"), ("Reconciling", "True")), Result.IN_PROGRESS, id="reconciling"),
        pytest.param(document(("Ready", "False"), ("Stalled", "True")), Result.FAILED, id="stalled"),
        pytest.param(document(("Reconciling", "False"), ("Stalled", "False")), Result.CURRENT, id="neither"),
        pytest.param(document(("Stalled", "True"), deletionTimestamp="now"), Result.TERMINATING, id="going"),
    ],
)
def test_rule(found: dict[str, Any], expected: Result) -> None:
    assert compute(found) is expected


def test_of_two_that_contradict_each_other_the_first_counts() -> None:
    assert compute(document(("Reconciling", "True"), ("Stalled", "True"))) is Result.IN_PROGRESS
    assert compute(document(("Stalled", "True"), ("Reconciling", "True"))) is Result.FAILED
