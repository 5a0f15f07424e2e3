"""The real API server with our kinds on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.cluster.progress import wait_until

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="session")
def our_kinds(apiserver: ApiAccess) -> ApiAccess:
    """The API server after `kubectl apply -k crds`, as soon as it serves both kinds."""
    apiserver.kubectl("apply", "-k", str(CRDS), check=True)
    wait_until("our kinds", lambda: serves_our_kinds(apiserver), seconds=60)
    return apiserver


def serves_our_kinds(api: ApiAccess) -> bool:
    """Established is not enough: "storage is (re)initializing" comes after it."""
    return api.kubectl("get", "llmworkers,llmincidents").returncode == 0
