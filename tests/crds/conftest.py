"""The real API server with our kinds on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.lab.beside import install_our_kinds

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess


@pytest.fixture(scope="session")
def our_kinds(apiserver: ApiAccess) -> ApiAccess:
    """The API server, serving both kinds."""
    install_our_kinds(apiserver)
    return apiserver
