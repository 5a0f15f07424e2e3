"""An administrator's plain HTTP client for tests: kubectl takes a tenth of a second per look, and tests look often."""

from __future__ import annotations

import json
import ssl
import time
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

GROUPS = {
    "llmworkers": "apis/llmworker.dev/v1alpha1",
    "llmincidents": "apis/llmworker.dev/v1alpha1",
    "deployments": "apis/apps/v1",
    "controllerrevisions": "apis/apps/v1",
    "poddisruptionbudgets": "apis/policy/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
    "leases": "apis/coordination.k8s.io/v1",
    "customresourcedefinitions": "apis/apiextensions.k8s.io/v1",
    "validatingadmissionpolicies": "apis/admissionregistration.k8s.io/v1",
    "validatingadmissionpolicybindings": "apis/admissionregistration.k8s.io/v1",
}
MERGE = "application/merge-patch+json"


class Api:
    """Paths are (plural, namespace, name); an empty namespace is the cluster's scope."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        context.load_cert_chain(user["client-certificate"], user["client-key"])
        self._http = httpx.Client(base_url=cluster["server"], verify=context, timeout=10)

    def close(self) -> None:
        self._http.close()

    def _path(self, plural: str, namespace: str, name: str = "", subresource: str = "") -> str:
        scope = f"namespaces/{namespace}" if namespace else ""
        return "/" + "/".join(p for p in (GROUPS.get(plural, "api/v1"), scope, plural, name, subresource) if p)

    def get(self, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        answer = self._http.get(self._path(plural, namespace, name))
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._read(answer)

    def names(self, plural: str, namespace: str) -> list[str]:
        items = self._read(self._http.get(self._path(plural, namespace)))["items"]
        return sorted(item["metadata"]["name"] for item in items)

    def version(self, plural: str) -> str:
        """Of the whole store, now."""
        answer = self._read(self._http.get(self._path(plural, ""), params={"limit": "1"}))
        return str(answer["metadata"]["resourceVersion"])

    def replay(self, plural: str, namespace: str, since: str) -> list[dict[str, Any]]:
        """What a watch from that version on has to tell until now."""
        query = {"watch": "true", "resourceVersion": since, "timeoutSeconds": "1"}
        answer = self._http.get(self._path(plural, namespace), params=query)
        return [json.loads(line) for line in answer.text.splitlines()]

    def create(self, plural: str, document: dict[str, Any]) -> dict[str, Any]:
        path = self._path(plural, document["metadata"].get("namespace", ""))
        return self._read(self._http.post(path, json=document))

    def patch(
        self, plural: str, namespace: str, name: str, body: dict[str, Any], subresource: str = ""
    ) -> dict[str, Any]:
        path = self._path(plural, namespace, name, subresource)
        return self._read(self._http.patch(path, json=body, headers={"Content-Type": MERGE}))

    def delete(self, plural: str, namespace: str, name: str) -> None:
        body = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
        self._read(self._http.request("DELETE", self._path(plural, namespace, name), json=body))

    @staticmethod
    def _read(answer: httpx.Response) -> dict[str, Any]:
        document: dict[str, Any] = answer.json()
        assert answer.is_success, document.get("message")
        return document


def until(probe: Callable[[], T | None], *, seconds: float = 15, every: float = 0.05) -> T:
    """What the probe returns once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        seen = probe()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {seconds} s; seen last: {seen!r}"
        time.sleep(every)


def condition(document: dict[str, Any] | None, kind: str) -> dict[str, Any] | None:
    status = (document or {}).get("status") or {}
    return next((c for c in status.get("conditions") or () if c["type"] == kind), None)
