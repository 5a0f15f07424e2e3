"""What `manifests/base` brings except the operator's Deployment: for an operator that runs as a process beside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.cluster.progress import wait_until
from e2e.lab.operator_process import NAMESPACE, operators_kubeconfig

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

ROOT: Final = Path(__file__).parents[2]
BASE: Final = ROOT / "manifests" / "base"


def install_our_kinds(access: ApiAccess) -> None:
    """`kubectl apply -k crds`; returns as soon as both kinds are served."""
    access.kubectl("apply", "-k", str(ROOT / "crds"), check=True)
    # Established is not enough: "storage is (re)initializing" comes after it.
    served = ("get", "llmworkers,llmincidents")
    wait_until("our kinds", lambda: access.kubectl(*served).returncode == 0, seconds=60)


def install_beside(access: ApiAccess, folder: Path) -> Path:
    """Returns the operator's kubeconfig."""
    install_our_kinds(access)
    access.kubectl("apply", "-f", str(BASE / "namespace.yaml"), check=True)
    for name in ("rbac-watchdog.yaml", "rbac-operator.yaml", "admission.yaml"):
        access.kubectl("apply", "-n", NAMESPACE, "-f", str(BASE / name), check=True)
    folder.mkdir(parents=True, exist_ok=True)
    return operators_kubeconfig(access, folder)
