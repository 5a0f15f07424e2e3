"""The watchdogs have rights only while the admission policies are in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.live.api import Api, condition, until
from tests.operator.live.conftest import BASE
from tests.operator.live.policies import BINDINGS, NAME, POLICIES, missing_policy, reinstall
from tests.operator.live.worker import settled, worker_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from e2e.cluster.access import ApiAccess

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("running")]

CRDS = BASE.parents[1] / "crds"


@pytest.fixture(autouse=True)
def restored(apiserver: ApiAccess) -> Iterator[None]:
    yield
    reinstall(apiserver)


def missing_binding(api: Api) -> None:
    api.delete(BINDINGS, "", NAME)


def binding_that_only_warns(api: Api) -> None:
    api.patch(BINDINGS, "", NAME, {"spec": {"validationActions": ["Warn"]}})


def binding_of_some_namespaces(api: Api) -> None:
    selector = {"namespaceSelector": {"matchLabels": {"only": "here"}}}
    api.patch(BINDINGS, "", NAME, {"spec": {"matchResources": selector}})


def policy_that_ignores_failures(api: Api) -> None:
    api.patch(POLICIES, "", NAME, {"spec": {"failurePolicy": "Ignore"}})


def policy_with_a_rule_less(api: Api) -> None:
    policy: dict[str, Any] = api.get(POLICIES, "", NAME) or {}
    api.patch(POLICIES, "", NAME, {"spec": {"validations": policy["spec"]["validations"][:-1]}})


@pytest.mark.parametrize(
    "spoil",
    [
        missing_policy,
        missing_binding,
        binding_that_only_warns,
        binding_of_some_namespaces,
        policy_that_ignores_failures,
        policy_with_a_rule_less,
    ],
)
def test_rights_are_withdrawn_said_and_given_back(
    api: Api, apiserver: ApiAccess, namespace: str, spoil: Callable[[Api], None]
) -> None:
    api.create("llmworkers", worker_manifest(namespace))
    until(lambda: api.get("rolebindings", namespace, "llm-watchdog"))
    spoil(api)
    until(lambda: api.get("rolebindings", namespace, "llm-watchdog") is None)
    stalled = until(lambda: condition(api.get("llmworkers", namespace, "qwen"), "Stalled"))
    assert stalled["reason"] == "AdmissionPolicyMissing"
    assert NAME in stalled["message"]
    assert condition(api.get("llmworkers", namespace, "qwen"), "RemediationHeld")
    reinstall(apiserver)
    until(lambda: api.get("rolebindings", namespace, "llm-watchdog"))
    until(lambda: not condition(api.get("llmworkers", namespace, "qwen"), "Stalled"))


@pytest.fixture
def newer_schema(api: Api, apiserver: ApiAccess) -> Iterator[None]:
    """Lets an engine in that this operator does not know."""
    name = "llmworkers.llmworker.dev"
    versions = (api.get("customresourcedefinitions", "", name) or {})["spec"]["versions"]
    spec = versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["engine"]["properties"]["type"]["enum"].append("martian")
    api.patch("customresourcedefinitions", "", name, {"spec": {"versions": versions}})
    yield
    apiserver.kubectl("apply", "-k", str(CRDS), check=True)


def become_unreadable(api: Api, namespace: str) -> bool:
    """The API server takes a moment to serve a schema."""
    try:
        api.patch("llmworkers", namespace, "qwen", {"spec": {"engine": {"type": "martian"}}})
    except AssertionError:
        return False
    return True


@pytest.mark.usefixtures("newer_schema")
def test_they_are_withdrawn_beside_a_worker_that_cannot_be_read(api: Api, namespace: str) -> None:
    api.create("llmworkers", worker_manifest(namespace))
    until(lambda: api.get("rolebindings", namespace, "llm-watchdog"))
    until(lambda: become_unreadable(api, namespace))
    stalled = until(lambda: condition(settled(api, namespace), "Stalled"))
    assert stalled["reason"] == "SpecUnreadable"
    assert api.get("rolebindings", namespace, "llm-watchdog"), "its pods still run, and their watchdogs with them"
    missing_policy(api)
    until(lambda: api.get("rolebindings", namespace, "llm-watchdog") is None)
    # Back to what it was, so that its deletion needs no schema that is about to go.
    api.patch("llmworkers", namespace, "qwen", {"spec": {"engine": {"type": "openai"}}})


def test_none_are_given_while_they_are_missing(api: Api, namespace: str) -> None:
    api.delete(BINDINGS, "", NAME)
    until(lambda: api.get(BINDINGS, "", NAME) is None)
    api.create("llmworkers", worker_manifest(namespace))
    until(lambda: condition(settled(api, namespace), "Stalled"))
    assert api.get("rolebindings", namespace, "llm-watchdog") is None
    assert api.get("deployments", namespace, "qwen"), "the engine is served all the same"
