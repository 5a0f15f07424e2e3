"""The kinds that the operator reads and writes, and their paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Without a namespace: all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        parts = [root + scope, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


WORKERS: Final = Resource(names.GROUP, names.VERSION, names.WORKER_PLURAL, names.WORKER_KIND)
INCIDENTS: Final = Resource(names.GROUP, names.VERSION, names.INCIDENT_PLURAL, names.INCIDENT_KIND)
PODS: Final = Resource("", "v1", "pods", "Pod")
NODES: Final = Resource("", "v1", "nodes", "Node", namespaced=False)
SERVICES: Final = Resource("", "v1", "services", "Service")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")
EVENTS: Final = Resource("", "v1", "events", "Event")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment")
REVISIONS: Final = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
ROLE_BINDINGS: Final = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
_ADMISSION = "admissionregistration.k8s.io"
POLICIES: Final = Resource(
    _ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
POLICY_BINDINGS: Final = Resource(
    _ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)

OWN_CHILDREN: Final = (DEPLOYMENTS, SERVICES, CONFIG_MAPS, BUDGETS, REVISIONS)
"""Of one worker."""
SHARED_CHILDREN: Final = (SERVICE_ACCOUNTS, ROLE_BINDINGS)
"""Of all workers of a namespace."""
CHILDREN: Final = (*OWN_CHILDREN, *SHARED_CHILDREN)
ADMISSION: Final = (POLICIES, POLICY_BINDINGS)

_BY_KIND: Final = {resource.kind: resource for resource in (*CHILDREN, WORKERS, INCIDENTS, PODS)}


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """By the manifest's kind."""
    return _BY_KIND[manifest["kind"]]
