"""What the operator is granted is what it asks for: the API server's own record of a run, beside the manifest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from e2e.lab.operator_process import NAMESPACE as SYSTEM
from tests.operator.live.conftest import BASE

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("undisturbed")]

USER: Final = f"system:serviceaccount:{SYSTEM}:llmworker-operator"
Right = tuple[str, str, str]
"""API group, resource with its subresource, verb."""

CHECKED_WITHIN_A_REQUEST: Final[dict[Right, str]] = {
    ("rbac.authorization.k8s.io", "clusterroles", "bind"): "asked for when a binding to it is applied",
    ("", "serviceaccounts", "delete"): "asked for when its owners change, by OwnerReferencesPermissionEnforcement",
}


def granted() -> set[Right]:
    documents = yaml.safe_load_all((BASE / "rbac-operator.yaml").read_text())
    rules = [rule for document in documents for rule in document.get("rules") or ()]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def requests(apiserver: ApiAccess) -> list[dict[str, Any]]:
    """The operator's, for objects; discovery is open to everybody. Whatever it did since the API server started."""
    assert apiserver.audit_log
    records = [json.loads(line) for line in apiserver.audit_log.read_text().splitlines()]
    return [r for r in records if r["user"]["username"] == USER and "resource" in r.get("objectRef", {})]


def asked(record: dict[str, Any]) -> set[Right]:
    """An apply of what is not there creates it."""
    about = record["objectRef"]
    resource = "/".join(part for part in (about["resource"], about.get("subresource")) if part)
    created = record["verb"] == "patch" and record["responseStatus"]["code"] == 201
    return {(about.get("apiGroup", ""), resource, verb) for verb in {record["verb"], *(["create"] if created else [])}}


def test_every_verb_is_asked_for_and_no_other(apiserver: ApiAccess) -> None:
    used = {right for record in requests(apiserver) for right in asked(record)}
    assert granted() - used == CHECKED_WITHIN_A_REQUEST.keys()
    assert used <= granted()


def test_nothing_is_refused_for_want_of_a_right(apiserver: ApiAccess) -> None:
    decisions = {
        (record["annotations"]["authorization.k8s.io/decision"], record["responseStatus"]["code"] == 403)
        for record in requests(apiserver)
        if "code" in record.get("responseStatus", {})
    }
    assert decisions == {("allow", False)}
