"""Requests to the API server with nothing but a token, as a watchdog makes them."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from llm_watchdog.api import names

if TYPE_CHECKING:
    from pathlib import Path

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    document: dict[str, Any]

    @property
    def message(self) -> str:
        return str(self.document.get("message", ""))


class Caller:
    """One token in one namespace."""

    def __init__(self, url: str, authority: Path, token: str, namespace: str) -> None:
        self.namespace = namespace
        self._http = httpx.Client(
            base_url=url,
            verify=ssl.create_default_context(cafile=str(authority)),
            headers={"Authorization": f"Bearer {token}", "Accept": JSON},
        )

    def close(self) -> None:
        self._http.close()

    def send(self, method: str, path: str, body: Any = None, *, content: str = JSON) -> Answer:
        """`path` is below the namespace: `v1/pods/x/status`, `llmworker.dev/v1alpha1/llmincidents`."""
        prefix, _, rest = path.partition("v1/") if path.startswith("v1/") else path.partition("/")
        root = f"/api/v1/namespaces/{self.namespace}/{rest}"
        if prefix:
            version, _, rest = rest.partition("/")
            root = f"/apis/{prefix}/{version}/namespaces/{self.namespace}/{rest}"
        # An empty dict would take the query out of the path, a dry run for example.
        query = {"fieldManager": names.WATCHDOG_FIELD_MANAGER, "force": "true"} if content == APPLY else {}
        text = None if body is None else json.dumps(body)
        response = self._http.request(
            method, root, content=text, params=query or None, headers={"Content-Type": content}
        )
        return Answer(response.status_code, response.json())


def refused(answer: Answer, why: str) -> bool:
    """By a policy, for that reason."""
    assert answer.status == 403, answer.document
    assert "ValidatingAdmissionPolicy" in answer.message
    assert why in answer.message
    return True


def refused_by_rbac(answer: Answer) -> bool:
    assert answer.status == 403, answer.document
    assert "cannot" in answer.message
    assert "ValidatingAdmissionPolicy" not in answer.message
    return True
