"""The alert rules name series that exist, and every abnormal condition has one or is excused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.registry import CollectorRegistry

from llmworker_operator.adapters.metrics import Metrics
from llmworker_operator.domain.condition import ConditionType
from llmworker_operator.domain.held import TOLD as HELD
from llmworker_operator.reconcile.status import TOLD

FILE = Path(__file__).parents[2] / "manifests" / "monitoring" / "alerts.yaml"
LABELS: Final = {"worker_namespace", "worker", "type", "reason"}
EXCUSED: Final = {
    ConditionType.LIMITED: "no fault, and said at apply",
    ConditionType.PAUSE_UNREADABLE: "once for the cluster, not for each worker",
}


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(FILE.read_text())
    assert (document["apiVersion"], document["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    return [rule for group in document["spec"]["groups"] for rule in group["rules"]]


RULES = rules()
EVERY_RULE = pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])


def alerted(kind: str) -> list[str]:
    return [rule["expr"] for rule in RULES if f'type="{kind}"' in rule["expr"]]


@EVERY_RULE
def test_each_rule_is_whole(rule: dict[str, Any]) -> None:
    assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert re.fullmatch(r"\d+[mhd]", rule.get("for", "1m"))


@EVERY_RULE
def test_each_rule_names_series_that_exist(rule: dict[str, Any]) -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    exposed = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    named = set(re.findall(r"llmworker_operator_\w+", rule["expr"]))
    assert named
    assert named <= exposed


@EVERY_RULE
def test_each_rule_is_balanced_and_uses_labels_that_exist(rule: dict[str, Any]) -> None:
    expression = rule["expr"]
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}")
    kept = {label.strip() for found in re.findall(r"by \(([^)]*)\)", expression) for label in found.split(",")}
    selected = set(re.findall(r"(\w+)!?=\"", expression))
    told = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    assert kept | selected <= LABELS
    assert told <= kept


def test_every_abnormal_condition_has_an_alert_or_an_excuse() -> None:
    assert {kind for kind in TOLD if not alerted(kind.value)} == EXCUSED.keys()


def test_every_reason_for_holding_remediation_has_one() -> None:
    expressions = " ".join(alerted("RemediationHeld"))
    assert 'reason="CommonCause"' in expressions
    assert 'reason!="CommonCause"' in expressions
    assert HELD
