"""What `manifests/base` brings except the operator's Deployment: for an operator that runs as a process beside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.lab.operator_process import NAMESPACE, operators_kubeconfig

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

BASE: Final = Path(__file__).parents[2] / "manifests" / "base"


def install_beside(access: ApiAccess, folder: Path) -> Path:
    """Returns the operator's kubeconfig."""
    access.kubectl("apply", "-k", str(BASE.parents[1] / "crds"), check=True)
    access.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s", check=True)
    access.kubectl("apply", "-f", str(BASE / "namespace.yaml"), check=True)
    for name in ("rbac-watchdog.yaml", "rbac-operator.yaml", "admission.yaml"):
        access.kubectl("apply", "-n", NAMESPACE, "-f", str(BASE / name), check=True)
    folder.mkdir(parents=True, exist_ok=True)
    return operators_kubeconfig(access, folder)
