"""The brake on a real API server: one trial, then the others or nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.live.api import Api, condition, until
from tests.operator.live.fleet import Fleet, set_watchdog, stamp

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("running", "nodes")]

BUDGET = {"maxUnavailable": "67%", "cooldown": "0s"}


def hung(api: Api, namespace: str) -> Fleet:
    """Two of three replicas, and a budget for both."""
    fleet = Fleet(api, namespace, remediation={"budget": BUDGET})
    for number, name in enumerate(("one", "two")):
        set_watchdog(api, namespace, f"qwen-x-{number}", f"containerd://first-qwen-x-{number}", ready=False)
        fleet.incident(f"qwen-x-{number}", name, detected=20 - number)
    for name in ("one", "two"):
        fleet.say(name, phase="AwaitingGrant", requestedStep="Restart")
    until(lambda: fleet.granted("one"))
    fleet.say("one", phase="Acting", steps=[{"step": "Restart", "startedAt": stamp()}])
    fleet.say("one", phase="Verifying")
    until(lambda: not fleet.granted("one"))
    assert not fleet.granted("two")
    return fleet


def close(fleet: Fleet, name: str, outcome: str, step: str) -> None:
    done = {"step": "Restart", "startedAt": stamp(2), "finishedAt": stamp(), "outcome": step}
    fleet.say(name, phase="Closed", outcome=outcome, closedAt=stamp(), requestedStep=None, steps=[done])


def test_a_proven_trial_lets_the_other_follow(api: Api, namespace: str) -> None:
    fleet = hung(api, namespace)
    close(fleet, "one", "Recovered", "Succeeded")
    until(lambda: fleet.granted("two"))


def test_one_trial_and_the_others_are_held_when_it_proves_nothing(
    api: Api, apiserver: ApiAccess, namespace: str
) -> None:
    fleet = hung(api, namespace)
    close(fleet, "one", "Quarantined", "Failed")
    held = until(lambda: condition(fleet.worker(), "RemediationHeld"))
    assert held["reason"] == "CommonCause"
    assert held["message"].startswith("2 of 3 replicas (qwen-x-0, qwen-x-1) have StalledStream, a common cause.")
    assert "its incident one was closed as Quarantined" in held["message"]
    assert not fleet.granted("two")

    def told() -> list[Any]:
        described = apiserver.kubectl("-n", namespace, "get", "events", "-o", "jsonpath={.items[*].reason}")
        return [reason for reason in described.stdout.split() if reason == "CommonCause"]

    until(told)
    fleet.incident("qwen-x-2", "three", phase="AwaitingGrant", requestedStep="Restart")
    until(lambda: "3 of 3" in (condition(fleet.worker(), "RemediationHeld") or {})["message"])
    assert not fleet.granted("three")
    assert len(told()) == 1
    fleet.say("three", phase="Closed", outcome="SelfHealed", closedAt=stamp(), requestedStep=None)
    set_watchdog(api, namespace, "qwen-x-0", "containerd://first-qwen-x-0")
    until(lambda: fleet.granted("two"))
    until(lambda: not condition(fleet.worker(), "RemediationHeld"))
