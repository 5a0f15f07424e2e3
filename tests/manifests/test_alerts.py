"""The alert rules name series and values that exist, each has a page, and no abnormal condition is forgotten."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.registry import CollectorRegistry

from llm_watchdog.api.reasons import FaultClass, RotationReason, VerdictState
from llmworker_operator.adapters.metrics import Metrics
from llmworker_operator.domain.condition import ConditionType
from llmworker_operator.domain.held import TOLD as HELD
from llmworker_operator.domain.refusals import Refusal
from llmworker_operator.reconcile.status import TOLD

ROOT = Path(__file__).parents[2]
FILE = ROOT / "manifests" / "monitoring" / "alerts.yaml"
PAGE = (ROOT / "docs" / "alerts.md").read_text()
SCRAPED: Final = {"namespace", "pod", "job"}
"""What a scrape gives to all series of a pod."""
WORDS: Final[dict[str, frozenset[str]]] = {
    "type": frozenset(ConditionType),
    "fault": frozenset(FaultClass),
    "state": frozenset(VerdictState),
    "reason": frozenset(Refusal) | frozenset(RotationReason) | {"ReplicaQuarantined", "ThisWorker"},
}
"""What a label may be compared with."""
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
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert re.fullmatch(r"\d+[mhd]", rule.get("for", "1m"))


def exposed() -> set[str]:
    """The watchdog's by its page, which a test of its own holds against what it serves."""
    registry = CollectorRegistry()
    Metrics(registry)
    operators = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    section = (ROOT / "docs" / "watchdog.md").read_text().split("## Metrics\n")[1]
    return operators | set(re.findall(r"`(llm_watchdog_\w+)", section)) | {"up"}


@EVERY_RULE
def test_each_rule_names_series_that_exist(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\b(llmworker_operator_\w+|llm_watchdog_\w+|up)\b", rule["expr"]))
    assert named
    assert named <= exposed()


@EVERY_RULE
def test_each_rule_compares_with_words_that_exist(rule: dict[str, Any]) -> None:
    for label, words in re.findall(r"(\w+)!?=~?\"([^\"]*)\"", rule["expr"]):
        assert label in SCRAPED or set(words.split("|")) <= WORDS[label]


@EVERY_RULE
def test_each_rule_has_a_page_to_turn_to(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"


def test_the_page_has_a_section_for_each_rule_and_no_other() -> None:
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_the_watchdogs_are_scraped_under_the_name_that_the_rules_ask_for() -> None:
    monitors = list(yaml.safe_load_all(FILE.with_name("podmonitors.yaml").read_text()))
    jobs = [f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}" for monitor in monitors]
    (pattern,) = {found for rule in RULES for found in re.findall(r'job=~"([^"]*)"', rule["expr"])}
    assert [job for job in jobs if re.fullmatch(pattern, job)] == ["llmworker-system/llmworker-watchdogs"]


def test_every_abnormal_condition_has_an_alert_or_an_excuse() -> None:
    assert {kind for kind in TOLD if not alerted(kind.value)} == EXCUSED.keys()


def test_every_reason_for_holding_remediation_has_one() -> None:
    expressions = " ".join(alerted("RemediationHeld"))
    assert 'reason="CommonCause"' in expressions
    assert 'reason!="CommonCause"' in expressions
    assert HELD
