"""docs/operator.md names every setting, every metric and every reason, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.registry import CollectorRegistry

from llmworker_operator.adapters.metrics import Metrics
from llmworker_operator.domain.condition import ConditionType
from llmworker_operator.domain.dissent import DissentReason
from llmworker_operator.domain.facts import StallReason
from llmworker_operator.domain.held import TOLD
from llmworker_operator.domain.nodes import SuspectReason
from llmworker_operator.domain.refusals import Refusal
from llmworker_operator.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "operator.md").read_text()


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n")[1].split("\n## ")[0]


def test_settings() -> None:
    named = {
        name
        for line in section("Settings").splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named == set(Settings.model_fields) - {"kubeconfig"}


def test_metrics() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    exposed = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    assert set(re.findall(r"`(llmworker_operator_\w+)", section("Metrics"))) == exposed


def test_reasons() -> None:
    told = set(re.findall(r"`(\w+)`", section("What stands in a worker's conditions")))
    assert {reason.value for reason in StallReason} <= told
    assert {refusal.value for refusal in TOLD} <= told
    assert {reason.value for reason in (*SuspectReason, *DissentReason)} <= told
    assert {kind.value for kind in ConditionType} - {"Ready", "Reconciling", "Available"} <= told


def test_why_a_request_waits() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section("Who may take a step"), re.MULTILINE)
    assert sorted(rows) == sorted(refusal.value for refusal in Refusal)
