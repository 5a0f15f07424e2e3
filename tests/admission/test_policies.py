"""What is delivered is what is built, and any softening of it is told apart."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from llmworker_operator.builders import admission

if TYPE_CHECKING:
    from tests.admission.conftest import Guarded

MANIFEST = Path(__file__).parents[2] / "manifests" / "base" / "admission.yaml"
POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
PODS = "llmworker-watchdog-pods"


def live() -> list[dict[str, Any]]:
    return copy.deepcopy(admission.policies())


def find(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(each for each in documents if each["kind"] == kind and each["metadata"]["name"] == PODS)


def test_manifest_is_what_the_builder_makes() -> None:
    """Else: `python -m llmworker_operator.builders.admission > manifests/base/admission.yaml`."""
    assert list(yaml.safe_load_all(MANIFEST.read_text())) == admission.policies()


def test_each_policy_denies_and_fails_closed() -> None:
    documents = admission.policies()
    policies = [each for each in documents if each["kind"] == POLICY]
    bindings = {each["spec"]["policyName"]: each["spec"] for each in documents if each["kind"] == BINDING}
    assert {each["spec"]["failurePolicy"] for each in policies} == {"Fail"}
    assert {each["metadata"]["name"] for each in policies} == bindings.keys()
    assert [each["validationActions"] for each in bindings.values()] == [["Deny"]] * len(policies)


def test_as_delivered() -> None:
    assert admission.differences(admission.policies(), live()) == []


def test_others_do_not_matter() -> None:
    other = {"kind": POLICY, "metadata": {"name": "other"}, "spec": {"failurePolicy": "Ignore"}}
    assert admission.differences(admission.policies(), [*live(), other]) == []


def test_nothing_there() -> None:
    assert len(admission.differences(admission.policies(), [])) == len(admission.policies())


@pytest.mark.parametrize("kind", [POLICY, BINDING])
def test_missing(kind: str) -> None:
    documents = live()
    documents.remove(find(documents, kind))
    assert admission.differences(admission.policies(), documents) == [f"{kind} {PODS} is missing"]


def test_being_deleted() -> None:
    documents = live()
    find(documents, POLICY)["metadata"]["deletionTimestamp"] = "2026-11-21T03:00:00Z"
    assert admission.differences(admission.policies(), documents) == [f"{POLICY} {PODS} is being deleted"]


@pytest.mark.parametrize(
    ("kind", "edit"),
    [
        (BINDING, {"validationActions": ["Warn"]}),
        (BINDING, {"validationActions": ["Audit"]}),
        (BINDING, {"validationActions": ["Deny", "Audit"]}),
        (BINDING, {"policyName": "llmworker-watchdog-events"}),
        (BINDING, {"matchResources": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}),
        (BINDING, {"paramRef": {"name": "x", "parameterNotFoundAction": "Allow"}}),
        (POLICY, {"failurePolicy": "Ignore"}),
        (POLICY, {"validations": []}),
        (POLICY, {"matchConditions": [{"name": "never", "expression": "false"}]}),
        (POLICY, {"matchConstraints": {"resourceRules": []}}),
        (POLICY, {"variables": []}),
    ],
)
def test_edited(kind: str, edit: dict[str, Any]) -> None:
    documents = live()
    find(documents, kind)["spec"].update(edit)
    (sentence,) = admission.differences(admission.policies(), documents)
    assert sentence == f"{kind} {PODS} was edited: spec.{next(iter(edit))} is not as delivered"


def test_one_weakened_rule_is_enough() -> None:
    documents = live()
    find(documents, POLICY)["spec"]["validations"][-1]["expression"] = "true"
    assert admission.differences(admission.policies(), documents)


@pytest.mark.apiserver
def test_the_api_server_stores_it_as_delivered(guarded: Guarded) -> None:
    """The builder writes out every default, so that live objects can be compared."""
    kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
    stored = json.loads(guarded.kubectl("get", kinds, "-o", "json"))["items"]
    assert admission.differences(admission.policies(), stored) == []
