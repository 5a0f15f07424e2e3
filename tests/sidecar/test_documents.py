"""Documents survive the way out and back, and bad ones are refused with the field's name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llm_watchdog.api.document import DocumentError, decode, encode
from llm_watchdog.api.incident import (
    Evidence,
    Grant,
    Incident,
    IncidentSpec,
    IncidentStatus,
    PodRef,
    Step,
    WorkerRef,
)
from llm_watchdog.api.policy import EngineTarget, EngineType, LaddersPolicy, Policy, RemediationPolicy, WatchdogPolicy
from llm_watchdog.api.reasons import FaultClass, FindingReason, GrantableStep, Mode, Rung, StepOutcome
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.core.container import ContainerEnd, EngineContainer
from llm_watchdog.recorder import documents
from tests.sidecar.situations import START

AT = datetime(2026, 11, 21, 3, 0, 0, 123456, tzinfo=UTC)


def incident() -> Incident:
    return Incident(
        name="qwen-stalled-stream-0123abcd-1",
        namespace="models",
        spec=IncidentSpec(
            worker_ref=WorkerRef(name="qwen"),
            pod_ref=PodRef(name="qwen-0", uid="0123abcd-0000-0000-0000-000000000000", node="n1"),
            fault=FaultClass.STALLED_STREAM,
            detected_at=AT,
            mode=Mode.ENFORCE,
        ),
        status=IncidentStatus(
            reason=FindingReason.NO_FIRST_TOKEN,
            message="no token for 5.0 s",
            grant=Grant(step=GrantableStep.RESTART, granted_at=AT, expires_at=AT),
            evidence=[Evidence(at=AT, kind="Canary", message="asked at 3:00, silent")],
            steps=[Step(step=Rung.RESTART, started_at=AT, outcome=StepOutcome.SUCCEEDED)],
            time_to_detect_seconds=5.25,
        ),
    )


def test_an_incident_survives_the_round_trip() -> None:
    document = encode(incident())
    assert document["spec"]["workerRef"] == {"name": "qwen"}
    assert document["status"]["steps"][0]["step"] == "Restart"
    assert "outcome" not in document["status"]
    assert decode(Incident, document) == incident()


def test_a_policy_survives_the_round_trip_and_defaults_fill_what_is_missing() -> None:
    ladders = LaddersPolicy(engine_dead=[Rung.RESTART])
    policy = Policy(
        engine=EngineTarget(type=EngineType.VLLM, model="m"),
        watchdog=WatchdogPolicy(remediation=RemediationPolicy(ladders=ladders)),
    )
    assert decode(Policy, encode(policy)) == policy
    assert decode(Policy, {"engine": {"type": "openai"}}).watchdog == WatchdogPolicy()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("1m30s", 90), ("500ms", 0.5), ("2h", 7200), ("0", 0), ("0s", 0), ("1.5s", 1.5)],
)
def test_durations_are_read_as_kubernetes_writes_them(text: str, seconds: float) -> None:
    assert Seconds.parse(text) == seconds
    assert Seconds.parse(str(Seconds.parse(text))) == seconds


@pytest.mark.parametrize("text", ["", "60", "s", "1d", "-5s", "5 s", "1m 30s", "soon"])
def test_what_is_no_duration_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 90s"):
        Seconds.parse(text)


def test_a_bad_document_is_refused_with_the_path_of_its_field() -> None:
    document = {"engine": {"type": "vllm"}, "watchdog": {"canary": {"maxTokens": "many"}}}
    with pytest.raises(DocumentError, match=r"watchdog\.canary\.max_?[tT]okens"):
        decode(Policy, document)


def test_what_the_kubelet_says_of_the_engine() -> None:
    ended = {"containerID": "containerd://b", "reason": "Error", "exitCode": 1, "finishedAt": "2026-11-21T03:00:07Z"}
    engine: dict[str, Any] = {
        "name": "engine",
        "containerID": "containerd://b",
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "lastState": {"terminated": ended},
    }
    seen = documents.pod_view({"status": {"containerStatuses": [engine]}}, START).container
    end = ContainerEnd(container_id="containerd://b", reason="Error", exit_code=1, at=START + timedelta(seconds=7))
    assert seen == EngineContainer(waiting="CrashLoopBackOff", ended=end)
    engine["state"] = {"terminated": {**ended, "reason": "OOMKilled"}}
    seen = documents.pod_view({"status": {"containerStatuses": [engine]}}, START).container
    assert seen == EngineContainer(ended=replace(end, reason="OOMKilled"))
    assert documents.pod_view({"status": {}}, START).container == EngineContainer()


@pytest.mark.parametrize(
    ("last_state", "reason"),
    [
        ({"terminated": {"reason": "OOMKilled", "exitCode": 137}}, "OOMKilled"),
        ({"terminated": {"exitCode": 1}}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_why_the_engines_last_container_ended(last_state: dict[str, Any] | None, reason: str) -> None:
    container = {"name": "engine", "containerID": "containerd://a", "lastState": last_state}
    pod = {"status": {"containerStatuses": [{"name": "other", "lastState": {}}, container]}}
    assert documents.pod_view(pod, START).last_exit == reason
