"""Each alert rule in Prometheus' own program: silent beside what is well, it waits its time, and says it right."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.manifests.test_alerts import RULES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.promtool

MINUTES: Final = {"m": 1, "h": 60, "d": 24 * 60}
WORKER: Final = {"worker_namespace": "models", "worker": "qwen"}
POD: Final = {"namespace": "models", "pod": "qwen-0"}
LEADER: Final = {"namespace": "llmworker-system", "pod": "llmworker-operator-0"}
OTHER: Final = {"namespace": "llmworker-system", "pod": "llmworker-operator-1"}


@dataclass(frozen=True, slots=True)
class Series:
    """Of one value at every scrape; None: it is not there."""

    name: str
    labels: Mapping[str, str]
    ill: float | None
    well: float | None

    def as_input(self, value: float) -> dict[str, str]:
        labels = ",".join(f'{key}="{text}"' for key, text in self.labels.items())
        return {"series": f"{self.name}{{{labels}}}", "values": f"{value}x3000"}


def condition(kind: str, reason: str, *, well: str = "") -> tuple[Series, ...]:
    """The series goes with its condition. `well`: another reason of the same condition, which is no ground for it."""
    name = "llmworker_operator_worker_condition"
    ill = Series(name, {**LEADER, **WORKER, "type": kind, "reason": reason}, 1, None)
    return (ill, *([Series(name, {**LEADER, **WORKER, "type": kind, "reason": well}, None, 1)] if well else []))


def told(name: str, ill: float, well: float, **labels: str) -> Series:
    """By a watchdog."""
    return Series(f"llm_watchdog_{name}", {**POD, **labels}, ill, well)


def led(name: str, ill: float, well: float, **labels: str) -> tuple[Series, ...]:
    """By the leader; the other process has nothing to tell."""
    metric = f"llmworker_operator_{name}"
    return Series(metric, {**LEADER, **labels}, ill, well), Series(metric, {**OTHER, **labels}, 0, 0)


STAGED: Final[dict[str, tuple[tuple[Series, ...], dict[str, str]]]] = {
    "LLMWorkerCommonCause": (condition("RemediationHeld", "CommonCause", well="HourlyLimit"), WORKER),
    "LLMWorkerRemediationHeld": (
        condition("RemediationHeld", "HourlyLimit", well="CommonCause"),
        {**WORKER, "reason": "HourlyLimit"},
    ),
    "LLMWorkerStalled": (condition("Stalled", "Refused"), {**WORKER, "reason": "Refused"}),
    "LLMWorkerDegraded": (
        condition("Degraded", "ReplicaFaulty", well="ReplicaQuarantined"),
        {**WORKER, "reason": "ReplicaFaulty"},
    ),
    "LLMWorkerNodeSuspect": (condition("NodeSuspect", "SameNodeAgain"), {**WORKER, "reason": "SameNodeAgain"}),
    "LLMWorkerRolledBack": (condition("RolledBack", "BlamedByBrake"), {**WORKER, "reason": "BlamedByBrake"}),
    "LLMWorkerReplicasDisagree": (condition("ReplicasDisagree", "AllDissent"), {**WORKER, "reason": "AllDissent"}),
    "LLMWorkerCrossTalk": (
        (told("findings", 1, 0, fault="CrossTalk"), told("findings", 1, 1, fault="EngineDead")),
        POD,
    ),
    "LLMWorkerReplicaQuarantined": (
        (told("rotation_reason", 1, 0, reason="Quarantined"), told("rotation_reason", 0, 1, reason="Faulty")),
        POD,
    ),
    "LLMWorkerUnwatched": ((told("verdict", 1, 1, state="Unknown"), told("in_rotation", 1, 0)), POD),
    "LLMWorkerWatchdogDown": (
        (
            Series("up", {**POD, "job": "llmworker-system/llmworker-watchdogs"}, 0, 1),
            Series("up", {**POD, "job": "engines"}, 0, 0),
        ),
        POD,
    ),
    "LLMWorkerJournalBroken": ((told("journal_durable", 0, 1),), POD),
    "LLMWorkerRecordsUnsent": ((told("incidents_unacknowledged", 1, 0),), POD),
    "LLMWorkerClusterPaused": (led("cluster_paused", 1, 0), {}),
    "LLMWorkerPaused": (condition("Paused", "ThisWorker", well="WholeCluster"), WORKER),
    "LLMWorkerClusterPauseUnreadable": (led("cluster_pause_unreadable", 1, 0), {}),
    "LLMWorkerNoOperator": (led("leader", 0, 1), {}),
    "LLMWorkerOperatorStuck": (led("oldest_queued_seconds", 301, 299), {}),
    "LLMWorkerGrantsWait": (
        (*led("requests_waiting", 2, 0, reason="BudgetInUse"), *led("requests_waiting", 5, 5, reason="Cooldown")),
        {"reason": "BudgetInUse"},
    ),
}
"""By alert: what is scraped, and the labels that the alert then has."""


def waits(rule: Mapping[str, Any]) -> int:
    """Minutes."""
    text = rule.get("for", "0m")
    return int(text[:-1]) * MINUTES[text[-1]]


def rendered(text: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)


def asked(rule: Mapping[str, Any], minute: int, *alerts: Mapping[str, Any]) -> dict[str, Any]:
    return {"eval_time": f"{minute}m", "alertname": rule["alert"], "exp_alerts": list(alerts)}


def cases(rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    series, labels = STAGED[rule["alert"]]
    expected = {
        "exp_labels": {**labels, **rule["labels"]},
        "exp_annotations": {key: rendered(text, labels) for key, text in rule["annotations"].items()},
    }
    early = [asked(rule, waits(rule) - 1)] if waits(rule) else []
    return [
        {
            "interval": "1m",
            "name": "ill",
            "input_series": [each.as_input(each.ill) for each in series if each.ill is not None],
            "alert_rule_test": [*early, asked(rule, waits(rule) + 1, expected)],
        },
        {
            "interval": "1m",
            "name": "well",
            "input_series": [each.as_input(each.well) for each in series if each.well is not None],
            "alert_rule_test": [asked(rule, waits(rule) + 1)],
        },
    ]


def run(promtool: Path, *arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def rule_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `yq .spec` makes of the manifest."""
    file = tmp_path_factory.mktemp("rules") / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": RULES}]}))
    return file


def test_every_rule_is_staged() -> None:
    assert [rule["alert"] for rule in RULES] == list(STAGED)


def test_prometheus_finds_nothing_wrong_with_them(promtool: Path, rule_file: Path) -> None:
    code, said = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", rule_file)
    assert (code, f"{len(RULES)} rules found" in said) == (0, True), said


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_it_fires_after_its_time_and_not_beside_what_is_well(
    promtool: Path, rule_file: Path, tmp_path: Path, rule: Mapping[str, Any]
) -> None:
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rule_file)], "tests": cases(rule)}))
    code, said = run(promtool, "test", "rules", file)
    assert code == 0, said


def test_a_rule_that_stays_silent_is_noticed(promtool: Path, rule_file: Path, tmp_path: Path) -> None:
    """The judge itself: with what is well for what is ill it has to say no."""
    ill, well = cases(RULES[0])
    file = tmp_path / "tests.yaml"
    swapped = {**ill, "input_series": well["input_series"]}
    file.write_text(yaml.safe_dump({"rule_files": [str(rule_file)], "tests": [swapped]}))
    code, said = run(promtool, "test", "rules", file)
    assert (code, "LLMWorkerCommonCause" in said) == (1, True), said
