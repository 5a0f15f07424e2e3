"""A relay for all tests, and a scene for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.operator.live.perturbed.relay import Relay, Undisturbed
from tests.operator.live.perturbed.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.cluster.access import ApiAccess
    from tests.operator.live.api import Api


@pytest.fixture(scope="session")
def relay(apiserver: ApiAccess) -> Iterator[Relay]:
    assert apiserver.certificate_authority
    made = Relay(apiserver.url, apiserver.certificate_authority)
    yield made
    made.close()


@pytest.fixture
def scene(
    apiserver: ApiAccess, api: Api, installed: Path, nodes: None, namespace: str, tmp_path: Path, relay: Relay
) -> Iterator[Scene]:
    relay.perturbation = Undisturbed()
    made = Scene(
        access=apiserver, api=api, kubeconfig=installed, namespace=namespace, folder=tmp_path, server=relay.address
    )
    yield made
    made.end()
    assert relay.failures == []
