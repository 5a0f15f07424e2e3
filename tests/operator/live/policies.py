"""The admission policies that confine the watchdogs: what a test takes away, and how it comes back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess
    from tests.operator.live.api import Api

MANIFEST = Path(__file__).parents[3] / "manifests" / "base" / "admission.yaml"
POLICIES, BINDINGS = "validatingadmissionpolicies", "validatingadmissionpolicybindings"
NAME = "llmworker-watchdog-incidents"


def missing_policy(api: Api) -> None:
    api.delete(POLICIES, "", NAME)


def reinstall(apiserver: ApiAccess) -> None:
    """`apply` alone would leave what was added to an object by hand."""
    apiserver.kubectl("delete", "--ignore-not-found", "-f", str(MANIFEST), check=True)
    apiserver.kubectl("apply", "-f", str(MANIFEST), check=True)
