"""What the schema of an incident holds over time: the spec is a record, and a closed incident stays closed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from llm_watchdog.api import incident
from llm_watchdog.api.document import decode, encode
from llm_watchdog.api.reasons import FindingReason, GrantableStep, Outcome, Phase, Rung, StepOutcome

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from e2e.cluster.access import ApiAccess

pytestmark = pytest.mark.apiserver

MANIFEST = Path(__file__).parent / "valid" / "incident.yaml"
NAME = yaml.safe_load(MANIFEST.read_text())["metadata"]["name"]
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture
def api(our_kinds: ApiAccess) -> Iterator[ApiAccess]:
    """With one incident in it, as the watchdog creates it."""
    our_kinds.kubectl("create", "-f", str(MANIFEST), check=True)
    yield our_kinds
    our_kinds.kubectl("delete", "llmi", NAME, check=True)


def patch(api: ApiAccess, body: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    return api.kubectl("patch", "llmi", NAME, "--type=merge", "-p", json.dumps(body), *more)


def patch_status(api: ApiAccess, **status: Any) -> subprocess.CompletedProcess[str]:
    return patch(api, {"status": status}, "--subresource=status")


def test_spec_is_immutable(api: ApiAccess) -> None:
    refused = patch(api, {"spec": {"fault": "EngineDead"}})
    assert "spec: Invalid value" in refused.stderr
    assert "leave it as it was written" in refused.stderr


def test_whole_status_fits_and_comes_back(api: ApiAccess) -> None:
    """Every field that the records know, at once."""
    status = incident.IncidentStatus(
        phase=Phase.CLOSED,
        outcome=Outcome.RECOVERED,
        reason=FindingReason.NO_FIRST_TOKEN,
        message="no token on 2 canaries in 20.1 s",
        requested_step=GrantableStep.RESTART,
        grant=incident.Grant(step=GrantableStep.RESTART, granted_at=NOW, expires_at=NOW),
        evidence=[incident.Evidence(at=NOW, kind="Canary", message="silent for 10.0 s")] * incident.EVIDENCE_MAX,
        steps=[
            incident.Step(
                step=Rung.RESTART,
                started_at=NOW,
                finished_at=NOW,
                outcome=StepOutcome.SUCCEEDED,
                proof="containerd://1",
            )
        ],
        out_of_rotation_at=NOW,
        closed_at=NOW,
        time_to_detect_seconds=6.5,
        time_to_act_seconds=20.0,
        time_to_recover_seconds=28.25,
        occurrences=3,
    )
    written = patch_status(api, **encode(status))
    assert written.returncode == 0, written.stderr
    read = json.loads(api.kubectl("get", "llmi", NAME, "-o", "json", check=True).stdout)
    assert decode(incident.IncidentStatus, read["status"]) == status
    assert decode(incident.IncidentSpec, read["spec"]).pod_ref.node == "node-1"


def test_closed_stays_closed(api: ApiAccess) -> None:
    assert patch_status(api, phase="Closed", outcome="Lost").returncode == 0
    refused = patch_status(api, phase="Verifying", outcome=None)
    assert "status.phase: Invalid value" in refused.stderr
    assert "a new fault is a new incident" in refused.stderr
    assert "a new fault is a new incident" in patch_status(api, phase=None, outcome=None).stderr


def test_outcome_needs_the_end(api: ApiAccess) -> None:
    refused = patch_status(api, phase="Acting", outcome="Recovered")
    assert "status.outcome: Invalid value" in refused.stderr
    assert "set phase to Closed" in refused.stderr


def test_end_needs_an_outcome(api: ApiAccess) -> None:
    refused = patch_status(api, phase="Closed")
    assert "status.phase: Invalid value" in refused.stderr
    assert "set status.outcome" in refused.stderr


def apply_status(api: ApiAccess, manager: str, status: dict[str, Any]) -> None:
    head = {"apiVersion": "llmworker.dev/v1alpha1", "kind": "LLMIncident", "metadata": {"name": NAME}}
    command = ("apply", "--server-side", "--subresource=status", f"--field-manager={manager}", "-f", "-")
    api.kubectl(*command, input=json.dumps({**head, "status": status}), check=True)


def test_watchdog_and_operator_each_apply_their_part(api: ApiAccess) -> None:
    """A grant comes and goes whole, and leaves no empty object behind; nobody has to force anything."""
    wish = {"phase": "AwaitingGrant", "requestedStep": "Restart"}
    grant = {"step": "Restart", "grantedAt": "2026-11-21T03:00:00Z", "expiresAt": "2026-11-21T03:01:00Z"}

    def status() -> dict[str, Any]:
        read: dict[str, Any] = json.loads(api.kubectl("get", "llmi", NAME, "-o", "json", check=True).stdout)["status"]
        return read

    apply_status(api, "llm-watchdog", wish)
    apply_status(api, "llmworker-operator", {"grant": grant})
    assert status() == {**wish, "grant": grant}
    apply_status(api, "llm-watchdog", {"phase": "Acting"})
    assert status() == {"phase": "Acting", "grant": grant}
    apply_status(api, "llmworker-operator", {})
    assert status() == {"phase": "Acting"}


def test_fields_to_select_by(api: ApiAccess) -> None:
    def found(selector: str) -> list[str]:
        listed = api.kubectl("get", "llmi", "--field-selector", selector, "-o", "name", check=True)
        return listed.stdout.split()

    mine = [f"llmincident.llmworker.dev/{NAME}"]
    assert found("spec.workerRef.name=qwen,spec.podRef.name=qwen-6d4cf56db6-x7lqk") == mine
    assert found("spec.podRef.uid=0b7c7f0e-8f7a-4a3b-9a57-3f0f5d9f2d11,spec.fault=StalledStream") == mine
    assert found("status.phase=,status.outcome=") == mine
    assert found("status.phase!=Closed") == mine
    assert found("spec.workerRef.name=other") == []
    assert patch_status(api, phase="Closed", outcome="Recovered").returncode == 0
    assert found("status.phase=Closed,status.outcome=Recovered") == mine
    assert found("status.phase!=Closed") == []


def test_scale_subresource(our_kinds: ApiAccess) -> None:
    manifest = Path(__file__).parent / "valid" / "no_spare_accelerator.yaml"
    our_kinds.kubectl("apply", "-f", str(manifest), check=True)
    our_kinds.kubectl("scale", "llmworker", "no-spare-accelerator", "--replicas=7", "--current-replicas=4", check=True)
    read = our_kinds.kubectl("get", "llmw", "no-spare-accelerator", "-o", "jsonpath={.spec.replicas}", check=True)
    assert read.stdout == "7"
    our_kinds.kubectl("delete", "-f", str(manifest), check=True)
