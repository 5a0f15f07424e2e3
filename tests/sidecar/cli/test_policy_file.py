"""The policy file: what is taken, and with which path each mistake is told."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llm_watchdog.api.document import encode
from llm_watchdog.api.policy import PausedPolicy, WatchdogPolicy
from llm_watchdog.api.reasons import Mode, Rung
from llm_watchdog.api.thresholds import Switch
from llm_watchdog.cli.policy_file import PolicyError, read_policy

FULL = """
mode: Observe
paused: {reason: maintenance}
canary: {interval: 1m30s, maxTokens: 8}
checks: {cache: Disabled, slots: Enabled, tokensPerDay: 5}
detectors:
  stalledStream: {mode: Enforce, learn: false, firstTokenDeadline: 500ms}
  degradedOutput: {knownAnswers: [{prompt: "2 + 2 =", answer: "4"}]}
remediation:
  budget: {maxUnavailable: 25%, maxPerHour: 0, cooldown: 0}
  brake: {state: Disabled, share: 3, window: 1m}
  ladders: {engineDead: [Restart, Quarantine]}
"""


def test_everything_may_be_said_and_left_out() -> None:
    said = read_policy(FULL).watchdog
    assert said.canary.interval == 90
    assert said.paused == PausedPolicy(reason="maintenance")
    assert (said.checks.cache, said.checks.slots) == (Switch.OFF, Switch.ON)
    assert said.detectors.stalled_stream.mode is Mode.ENFORCE
    assert not said.detectors.stalled_stream.learn
    assert said.detectors.degraded_output.known_answers[0].answer == "4"
    assert said.remediation.ladders.engine_dead == [Rung.RESTART, Rung.QUARANTINE]
    assert said.remediation.budget.max_unavailable == "25%"
    assert said.remediation.brake.share.at_least(100) == 3
    assert said.detectors.wake_failed == WatchdogPolicy().detectors.wake_failed


@pytest.mark.parametrize("nothing", ["", "{}", "# only a comment", "canary:\ndetectors: null"])
def test_nothing_said_is_all_defaults(nothing: str) -> None:
    assert read_policy(nothing).watchdog == WatchdogPolicy()


@pytest.mark.parametrize(("text", "states"), [("mode: Enforce", True), ("mode:", False), ("canary: {}", False)])
def test_whether_a_mode_is_stated(text: str, states: bool) -> None:  # noqa: FBT001
    assert read_policy(text).states_mode is states


def test_what_the_operator_writes_can_be_read_back() -> None:
    document = encode(WatchdogPolicy())
    assert read_policy(json.dumps(document)).watchdog == WatchdogPolicy()
    assert read_policy(yaml.safe_dump(document)).watchdog == WatchdogPolicy()


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("canari: {}", ["canari: unknown field, there is mode, paused, canary, "]),
        ("canary: {interval: 3, foo: 1}", ["canary.foo: unknown field", "canary.interval: '3' is no duration"]),
        ("canary: [1]", ["canary: [1] is no mapping"]),
        ("[1]", ["the document: [1] is no mapping"]),
        ("canary: {maxTokens: true}", ["canary.maxTokens: True is not a whole number"]),
        ("canary: {maxTokens: 0}", ["canary.maxTokens: 0 is not within 1 and 128"]),
        ("canary: {timeout: 0s}", ["canary.timeout: must be longer than 0s"]),
        ("detectors: {stalledStream: {learn: 1}}", ["detectors.stalledStream.learn: 1 is not true or false"]),
        ("checks: {cache: true}", ["checks.cache: True is none of Auto, Enabled, Disabled"]),
        ("mode: Off", ['mode: False is none of Enforce, Observe, Off; write "Off" in quotes']),
        ("detectors: {crossTalk: {mode: Of}}", ["detectors.crossTalk.mode: 'Of' is none of Enforce, Observe, Off"]),
        ("paused: {}", ["paused.reason: is missing"]),
        ("paused: {reason: ' '}", ["paused.reason: say in 1 to 253 characters why nothing is to be done"]),
        (f"paused: {{reason: {'x' * 254}}}", ["paused.reason: say in 1 to 253 characters"]),
        ("remediation: {budget: {maxPerHour: -1}}", ["remediation.budget.maxPerHour: -1 is below 0"]),
        ("remediation: {budget: {maxPerReplica: 0}}", ["remediation.budget.maxPerReplica: 0 is below 1"]),
        ("remediation: {brake: {share: 0%}}", ["remediation.brake.share: 0% would be every fault"]),
        ("remediation: {brake: {minReplicas: 1}}", ["remediation.brake.minReplicas: 1 is below 2"]),
        ("remediation: {brake: {window: 0s}}", ["remediation.brake.window: must be at least 1s"]),
        ("remediation: {brake: {state: Off}}", ["remediation.brake.state: False is none of Enabled, Disabled"]),
        ("remediation: {budget: {maxUnavailable: -1}}", ["remediation.budget.maxUnavailable: -1 is below 0"]),
        (
            "remediation: {budget: {maxUnavailable: 120%}}",
            ["remediation.budget.maxUnavailable: '120%' is no number of replicas: write a whole number"],
        ),
        (
            "detectors: {degradedOutput: {knownAnswers: [{prompt: a}, 7]}}",
            [
                "detectors.degradedOutput.knownAnswers[0].answer: is missing",
                "detectors.degradedOutput.knownAnswers[1]: 7 is no mapping",
            ],
        ),
        (
            "remediation: {ladders: {engineDead: [Drain, Jump]}}",
            ["remediation.ladders.engineDead[1]: 'Jump' is none of"],
        ),
        ("remediation: {flushTimeout: 0s}", ["remediation.flushTimeout: 0s is below 1s"]),
        ("remediation: {startupTimeout: 500ms}", ["remediation.startupTimeout: 500ms is below 1s"]),
        ("remediation: {attempts: {restart: 0}}", ["remediation.attempts.restart: 0 is not within 1 and 5"]),
        ("remediation: {attempts: {flushCache: 6}}", ["remediation.attempts.flushCache: 6 is not within 1 and 5"]),
        ("remediation: {attempts: {drain: 2}}", ["remediation.attempts.drain: unknown field"]),
        ("remediation: {ladders: {crossTalk: []}}", ["remediation.ladders.crossTalk: 0 steps"]),
        ("remediation: {ladders: {crossTalk: [Quarantine, Drain]}}", ["put Quarantine last"]),
        ("remediation: {ladders: {crossTalk: [Drain, AbortRequest]}}", ["put AbortRequest first"]),
        ("remediation: {abortTimeout: 0s}", ["remediation.abortTimeout: 0s is below 1s"]),
        ("remediation: {ladders: {crossTalk: [Restart, Drain]}}", ["put Drain before Restart"]),
        ("remediation: {ladders: {degradedOutput: [Restart, FlushCache]}}", ["put FlushCache before Restart"]),
        ("remediation: {ladders: {crossTalk: [Drain, Drain]}}", ["name each step once"]),
        ("detectors: {wakeFailed: {deadline: 40s}}", ["detectors.wakeFailed.restartDeadline: 30s is below deadline"]),
        ("detectors: {stalledStream: {busyDeadline: 200s}}", ["detectors.stalledStream.busyRestartDeadline: "]),
        ("a: [", ["no YAML: "]),
        ("canary: {}\nmode: Observe\ncanary: {}", ["no YAML: canary stands here twice"]),
        ("canary: {maxTokens: 4, maxTokens: 8}", ["no YAML: maxTokens stands here twice"]),
        ("!!python/object:os.system {}", ["no YAML: "]),
    ],
)
def test_each_mistake_is_told_with_its_path(text: str, errors: list[str]) -> None:
    with pytest.raises(PolicyError) as told:
        read_policy(text)
    lines = str(told.value).split("\n")
    assert len(lines) == len(errors)
    assert all(error in line for error, line in zip(errors, lines, strict=True))


KEYS = st.sampled_from(["canary", "mode", "detectors", "remediation", "ladders", "engineDead", "budget", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def refusal(text: str) -> str:
    """Empty: taken. Anything but a refusal is raised."""
    try:
        read_policy(text)
    except PolicyError as error:
        return str(error) or "refused without a word"
    return ""


@given(JSON)
def test_no_document_does_more_than_be_refused(document: object) -> None:
    refused = refusal(json.dumps(document))
    assert all(": " in line for line in refused.split("\n") if refused)


@given(st.text(max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    assert refusal(text) != "refused without a word"
