"""The ValidatingAdmissionPolicies that confine the watchdog's token to its own pod (invariant 11), with their bindings.

Written out as the API server stores them, defaults included, so that a live object can be compared field by field.
`python -m llmworker_operator.builders.admission` prints manifests/base/admission.yaml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Document = dict[str, Any]

API_VERSION: Final = "admissionregistration.k8s.io/v1"
POLICY_KIND: Final = "ValidatingAdmissionPolicy"
BINDING_KIND: Final = "ValidatingAdmissionPolicyBinding"

_CLAIM: Final = "request.userInfo.?extra[?'authentication.kubernetes.io/{}'][?0].orValue('')"
_IS_WATCHDOG: Final = (
    "request.userInfo.username.startsWith('system:serviceaccount:') && "
    f"request.userInfo.username.endsWith(':{names.WATCHDOG_SERVICE_ACCOUNT}')"
)
_INCIDENT_LABELS: Final = {
    names.LABEL_WORKER: "object.spec.workerRef.name",
    names.LABEL_FAULT: "object.spec.fault",
    names.LABEL_POD_UID: "object.spec.podRef.uid",
}


def policies() -> list[Document]:
    """Everything that must be in force before a watchdog gets any rights."""
    documents: list[Document] = []
    for suffix, spec in (("incidents", _incidents()), ("pods", _pods()), ("events", _events())):
        name = f"{names.ADMISSION_POLICY}-{suffix}"
        binding = {"policyName": name, "validationActions": ["Deny"]}
        documents += [_object(POLICY_KIND, name, spec), _object(BINDING_KIND, name, binding)]
    return documents


def differences(expected: Iterable[Mapping[str, Any]], live: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why the live objects, each with its kind, do not confine the watchdog as expected; empty if they do."""
    found = {(each["kind"], each["metadata"]["name"]): each for each in live}
    sentences: list[str] = []
    for wanted in expected:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        actual = found.get((kind, name))
        if actual is None:
            sentences.append(f"{kind} {name} is missing")
        elif actual["metadata"].get("deletionTimestamp"):
            sentences.append(f"{kind} {name} is being deleted")
        else:
            edited = _different_keys(wanted["spec"], actual.get("spec") or {})
            sentences += [f"{kind} {name} was edited: spec.{key} is not as delivered" for key in edited]
    return sentences


def _different_keys(wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    absent = object()
    return sorted(key for key in {*wanted, *actual} if wanted.get(key, absent) != actual.get(key, absent))


def _object(kind: str, name: str, spec: Document) -> Document:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _incidents() -> Document:
    rules = [_rule(names.GROUP, ("llmincidents", "llmincidents/status"), version=names.VERSION)]
    own = "variables.pod.name == variables.podName && variables.pod.uid == variables.podUid"
    worker = "object.spec.workerRef.name"
    return _policy(
        rules,
        # The record as it was before, for every request but the one that creates it.
        {
            "pod": "(request.operation == 'CREATE' ? object : oldObject).spec.podRef",
            "labels": "object.metadata.?labels.orValue({})",
            **_before_and_after("metadata"),
        },
        [
            _deny("request.operation != 'DELETE'", "the watchdog may not delete incidents: retention does"),
            _deny(own, "the watchdog may write incidents of its own pod only"),
            _deny(
                f"variables.podName.startsWith({worker} + '-') && "
                f"variables.podName.substring({worker}.size()).matches('^-[a-z0-9]+-[a-z0-9]{{5}}$')",
                "spec.workerRef must be the worker that the pod belongs to",
            ),
            _deny(
                f"object.metadata.name.startsWith({worker} + '-') && object.metadata.name.substring({worker}.size())"
                ".matches('^(-[a-z]+)+-' + variables.podUid.substring(0, 8) + '-[0-9]+$')",
                "an incident's name is made of worker, fault, the pod's uid and a number",
            ),
            _deny(_labels_are_own(), "an incident carries the labels of its spec and no others"),
            _deny(
                "request.operation == 'CREATE' ? !has(object.metadata.annotations) && "
                "!has(object.metadata.ownerReferences) && !has(object.metadata.finalizers) : "
                + _unchanged("metadata", "managedFields", "resourceVersion", "generation"),
                "the watchdog may not change an incident's metadata",
            ),
            _deny(
                "request.operation == 'CREATE' || object.?status.?grant == oldObject.?status.?grant",
                "only the operator writes status.grant",
            ),
        ],
    )


def _labels_are_own() -> str:
    """With the `all` of one variable: that of two came to the API server later than admission policies did."""
    allowed = ", ".join(f"'{label}': {value}" for label, value in _INCIDENT_LABELS.items())
    return f"variables.labels.all(key, {{{allowed}}}[?key] == optional.of(variables.labels[key]))"


def _pods() -> Document:
    rules = [_rule("", ("pods", "pods/*"), version="v1")]
    others = "status.?conditions.orValue([]).filter(c, c.type != '" + names.ROTATION_GATE + "')"
    return _policy(
        rules,
        {
            **_before_and_after("metadata"),
            **_before_and_after("status"),
            "conditions": f"object.{others}",
            "oldConditions": f"oldObject.{others}",
        },
        [
            _deny(
                "request.operation == 'UPDATE' && request.?subResource.orValue('') == 'status'",
                "of a pod the watchdog may write the status only",
            ),
            _deny(
                "request.name == variables.podName && oldObject.metadata.uid == variables.podUid",
                "the watchdog may write the status of its own pod only",
            ),
            _deny(
                _unchanged("metadata", "managedFields", "resourceVersion"),
                "the watchdog may not change its pod's metadata",
            ),
            _deny("object.spec == oldObject.spec", "the watchdog may not change its pod's spec"),
            _deny(
                _unchanged("status", "conditions"),
                f"of its pod's status the watchdog may write the condition {names.ROTATION_GATE} only",
            ),
            _deny(
                "variables.conditions.size() == variables.oldConditions.size() && "
                "variables.conditions.all(c, c in variables.oldConditions) && "
                "variables.oldConditions.all(c, c in variables.conditions)",
                f"of its pod's conditions the watchdog may write {names.ROTATION_GATE} only",
            ),
        ],
    )


def _events() -> Document:
    rules = [_rule("", ("events",), version="v1"), _rule("events.k8s.io", ("events",), version="v1")]
    about = "has({0}.involvedObject) ? {0}.involvedObject : {0}.regarding"
    same_pod = (
        "{0}.?kind.orValue('') == 'Pod' && {0}.?name.orValue('') == variables.podName && "
        "{0}.?uid.orValue('') == variables.podUid && {0}.?namespace.orValue('') == request.namespace"
    )
    return _policy(
        rules,
        {
            "about": about.format("object"),
            "wasAbout": f"request.operation == 'CREATE' ? variables.about : ({about.format('oldObject')})",
        },
        [
            _deny("request.operation != 'DELETE'", "the watchdog may not delete events"),
            _deny(
                f"{same_pod.format('variables.about')} && {same_pod.format('variables.wasAbout')}",
                "the watchdog may write events about its own pod only",
            ),
        ],
    )


def _before_and_after(part: str) -> dict[str, str]:
    """`variables.metadata`, `variables.oldMetadata`; `dyn` because the keys of a declared type cannot be walked."""
    return {
        part: f"dyn(object).?{part}.orValue({{}})",
        f"old{part.title()}": f"dyn(oldObject).?{part}.orValue({{}})",
    }


def _unchanged(part: str, *excepted: str) -> str:
    """All keys of `part`, also those that a later Kubernetes adds."""
    keys = ", ".join(f"'{key}'" for key in excepted)
    new, old = f"variables.{part}", f"variables.old{part.title()}"
    return (
        f"{new}.all(key, key in [{keys}] || (key in {old} && {new}[key] == {old}[key])) && "
        f"{old}.all(key, key in [{keys}] || key in {new})"
    )


def _rule(group: str, resources: Sequence[str], *, version: str) -> Document:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"],
        "resources": list(resources),
        "scope": "*",
    }


def _deny(expression: str, message: str) -> Document:
    return {"expression": expression, "message": message, "reason": "Forbidden"}


def _policy(rules: list[Document], variables: Mapping[str, str], validations: Sequence[Document]) -> Document:
    claims = {"podName": _CLAIM.format("pod-name"), "podUid": _CLAIM.format("pod-uid")}
    bound = _deny(
        "variables.podName != '' && variables.podUid != ''",
        "the watchdog's token must be bound to its pod: use the one that is mounted there",
    )
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": rules,
        },
        "matchConditions": [{"name": "is-the-watchdog", "expression": _IS_WATCHDOG}],
        "variables": [{"name": name, "expression": text} for name, text in {**claims, **variables}.items()],
        "validations": [bound, *validations],
    }


if __name__ == "__main__":
    import sys

    import yaml

    sys.stdout.write("# Made by `python -m llmworker_operator.builders.admission`; a test compares the two.\n")
    yaml.safe_dump_all(policies(), sys.stdout, sort_keys=False, width=120)
