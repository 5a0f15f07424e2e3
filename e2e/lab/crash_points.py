"""The watchdog's own crash points, set in pods of the test cluster.

The operator alone writes the watchdog's container, and undoes what others write into its Deployments. So the variable
comes in where the pod is created: a MutatingAdmissionPolicy (Kubernetes 1.36) copies it from an annotation of the
worker's template.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from e2e.lab.access import apply, run, wait_for
from e2e.lab.manifests import RESTRICTED
from llm_watchdog.api import names
from llm_watchdog.crash_points import ENV_CRASH_AT, MARKER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.lab.access import Access

ANNOTATION: Final = "e2e.llmworker.dev/crash-at"
"""`journalled:Claimed`, for example; see `llm_watchdog.crash_points`."""
NAME: Final = "e2e-watchdog-crash-points"
IN_FORCE_SECONDS: Final = 30
"""API servers learn of a new policy by a watch."""

_VARIABLE: Final = (
    f"Object.spec.initContainers.env{{name: '{ENV_CRASH_AT}', value: object.metadata.annotations['{ANNOTATION}']}}"
)
_CONTAINER: Final = f"Object.spec.initContainers{{name: '{names.WATCHDOG_CONTAINER}', env: [{_VARIABLE}]}}"
_GROUP_VERSION: Final = "admissionregistration.k8s.io/v1"


def policy() -> list[dict[str, Any]]:
    """Policy and binding: pods with the annotation get the variable, in the watchdog's container."""
    created = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    told = {
        "name": "told-where-to-crash",
        "expression": f"'{ANNOTATION}' in object.metadata.?annotations.orValue({{}})",
    }
    patch = {"expression": f"Object{{spec: Object.spec{{initContainers: [{_CONTAINER}]}}}}"}
    spec = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": [created]},
        "matchConditions": [told],
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": patch}],
    }
    return [
        {
            "apiVersion": _GROUP_VERSION,
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": NAME},
            "spec": spec,
        },
        {
            "apiVersion": _GROUP_VERSION,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": NAME},
            "spec": {"policyName": NAME},
        },
    ]


def pod(annotations: dict[str, str]) -> dict[str, Any]:
    """With the containers of a replica, as far as the policy looks at them."""
    container = {"image": "none", "securityContext": RESTRICTED}
    variable = {"name": names.ENV_WORKER, "value": "none"}
    watchdog = {"name": names.WATCHDOG_CONTAINER, "env": [variable], "restartPolicy": "Always", **container}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "would-crash", "annotations": annotations},
        "spec": {
            "automountServiceAccountToken": False,
            "initContainers": [watchdog],
            "containers": [{"name": names.ENGINE_CONTAINER, **container}],
        },
    }


def variables(access: Access, namespace: str, manifest: dict[str, Any]) -> dict[str, str]:
    """Of the watchdog's container, if that pod were created."""
    dry_run = ("create", "--dry-run=server", "-o", "json", "-f", "-")
    made = json.loads(run(access, "-n", namespace, *dry_run, text=json.dumps(manifest)))
    return {entry["name"]: entry["value"] for entry in made["spec"]["initContainers"][0]["env"]}


@contextmanager
def in_force(access: Access, namespace: str) -> Iterator[None]:
    """The policy, from the moment in which the API server follows it."""
    apply(access, *policy())
    try:
        told = pod({ANNOTATION: "nowhere"})
        wait_for(
            "the policy to be followed",
            lambda: ENV_CRASH_AT in variables(access, namespace, told),
            timeout=IN_FORCE_SECONDS,
        )
        yield
    finally:
        run(access, "delete", "mutatingadmissionpolicy,mutatingadmissionpolicybinding", NAME)


def crashed_at(access: Access, namespace: str, name: str) -> str:
    """The crash point at which the pod's watchdog killed itself; empty when it has not."""
    read = ("exec", name, "-c", names.WATCHDOG_CONTAINER, "--", "cat", f"{names.JOURNAL_DIR}/{MARKER}")
    done = access.kubectl("-n", namespace, *read)
    return done.stdout if done.returncode == 0 else ""
