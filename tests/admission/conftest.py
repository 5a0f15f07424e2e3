"""A namespace under the policies, and callers with tokens as the kubelet would mount them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.cluster.access import ApiAccess
from e2e.cluster.progress import wait_until
from e2e.lab.beside import install_our_kinds
from llm_watchdog.api import names
from tests.admission.caller import Caller
from tests.admission.objects import OTHER_POD, OWN_POD, event, incident, pod, running

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[2]
BASE = ROOT / "manifests" / "base"
NAMESPACE = "guarded"


@dataclass(frozen=True, slots=True)
class Guarded:
    """The administrator's side of the namespace."""

    api: ApiAccess
    uids: dict[str, str]
    namespace: str = NAMESPACE

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        return self.api.kubectl("-n", self.namespace, *args, input=input, check=check).stdout

    def create(self, document: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(document)))
        return made

    def read(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def caller(self, pod_name: str | None, *, namespace: str = NAMESPACE) -> Caller:
        uid = self.uids[pod_name] if pod_name else None
        token = self.api.token_for(names.WATCHDOG_SERVICE_ACCOUNT, namespace=self.namespace, pod=pod_name, pod_uid=uid)
        assert self.api.certificate_authority
        return Caller(self.api.url, self.api.certificate_authority, token, namespace)


def _make_namespace(api: ApiAccess, name: str) -> None:
    api.kubectl("create", "namespace", name, check=True)
    account = names.WATCHDOG_SERVICE_ACCOUNT
    api.kubectl("-n", name, "create", "serviceaccount", account, check=True)
    role, subject = f"--clusterrole={names.WATCHDOG_CLUSTER_ROLE}", f"--serviceaccount={name}:{account}"
    api.kubectl("-n", name, "create", "rolebinding", account, role, subject, check=True)


def _make_pod(api: ApiAccess, name: str) -> str:
    made = api.kubectl("-n", NAMESPACE, "create", "-f", "-", "-o", "json", input=json.dumps(pod(name)), check=True)
    status = json.dumps({"status": running()})
    api.kubectl("-n", NAMESPACE, "patch", "pod", name, "--subresource=status", "-p", status, check=True)
    return str(json.loads(made.stdout)["metadata"]["uid"])


def _in_force(guarded: Guarded) -> bool:
    """Policies are compiled a moment after they are stored; each one is asked for what it alone refuses."""
    caller = guarded.caller(OWN_POD)
    other = {"kind": "Pod", "name": OTHER_POD, "namespace": NAMESPACE, "uid": guarded.uids[OTHER_POD]}
    try:
        answers = [
            caller.send("POST", "llmworker.dev/v1alpha1/llmincidents?dryRun=All", incident(OTHER_POD, "0" * 8)),
            caller.send("POST", "v1/events?dryRun=All", event(NAMESPACE, other)),
            caller.send("PATCH", f"v1/pods/{OTHER_POD}/status?dryRun=All", {}, content="application/merge-patch+json"),
        ]
    finally:
        caller.close()
    return all("ValidatingAdmissionPolicy" in answer.message for answer in answers)


@pytest.fixture(scope="session")
def guarded(apiserver: ApiAccess) -> Guarded:
    """CRDs, the watchdog's role and the policies as they are delivered; two pods."""
    install_our_kinds(apiserver)
    apiserver.kubectl("apply", "-f", str(BASE / "rbac-watchdog.yaml"), "-f", str(BASE / "admission.yaml"), check=True)
    _make_namespace(apiserver, NAMESPACE)
    guarded = Guarded(apiserver, {name: _make_pod(apiserver, name) for name in (OWN_POD, OTHER_POD)})
    wait_until("the admission policies", lambda: _in_force(guarded), seconds=30)
    return guarded


@pytest.fixture(scope="session")
def elsewhere(guarded: Guarded) -> str:
    """Another namespace of workers."""
    _make_namespace(guarded.api, "elsewhere")
    return "elsewhere"


@pytest.fixture(scope="session")
def watchdog(guarded: Guarded) -> Iterator[Caller]:
    """The watchdog of `OWN_POD`, with the token of its pod."""
    caller = guarded.caller(OWN_POD)
    yield caller
    caller.close()


@pytest.fixture(scope="session")
def unbound(guarded: Guarded) -> Iterator[Caller]:
    """A token of the same service account that names no pod."""
    caller = guarded.caller(None)
    yield caller
    caller.close()


@pytest.fixture
def own_uid(guarded: Guarded) -> str:
    return guarded.uids[OWN_POD]


@pytest.fixture
def other_uid(guarded: Guarded) -> str:
    return guarded.uids[OTHER_POD]


@pytest.fixture
def own_incident(guarded: Guarded, own_uid: str) -> Iterator[str]:
    """With a grant by the operator."""
    yield from _incident(guarded, incident(OWN_POD, own_uid, sequence=107))


@pytest.fixture
def other_incident(guarded: Guarded, other_uid: str) -> Iterator[str]:
    """Of the other replica."""
    yield from _incident(guarded, incident(OTHER_POD, other_uid, sequence=107))


def _incident(guarded: Guarded, document: dict[str, Any]) -> Iterator[str]:
    name = guarded.create(document)["metadata"]["name"]
    grant = {"step": "LeaveRotation", "grantedAt": "2026-11-21T03:00:00Z", "expiresAt": "2026-11-21T03:01:00Z"}
    status = json.dumps({"status": {"phase": "AwaitingGrant", "grant": grant}})
    guarded.kubectl("patch", "llmi", name, "--subresource=status", "--type=merge", "-p", status)
    yield name
    guarded.kubectl("delete", "llmi", name)
