"""An API server with what `manifests/base` brings except the operator's Deployment; one namespace per test."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.lab.beside import install_beside
from e2e.lab.operator_process import Operator, operator
from tests.operator.live import story
from tests.operator.live.api import Api
from tests.operator.live.policies import reinstall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.access import ApiAccess

BASE = Path(__file__).parents[3] / "manifests" / "base"
NODES = {"old-node": "v1.35.2", "new-node": "v1.36.3"}
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def installed(apiserver: ApiAccess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the operator's kubeconfig."""
    return install_beside(apiserver, tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="session")
def api(apiserver: ApiAccess) -> Iterator[Api]:
    client = Api(apiserver.kubeconfig)
    yield client
    client.close()


@pytest.fixture
def namespace(api: Api, installed: Path) -> Iterator[str]:
    """Emptied at the end: there is no garbage collector here, and the operator looks after the whole cluster."""
    name = f"operator-{next(_numbers)}"
    api.create("namespaces", {"metadata": {"name": name}})
    yield name
    for plural in ("llmworkers", "llmincidents", "pods"):
        for each in api.names(plural, name):
            api.delete(plural, name, each)


@pytest.fixture(scope="session")
def nodes(api: Api) -> None:
    """Two of them, of different age."""
    text = (
        *("architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion", "machineID"),
        *("operatingSystem", "osImage", "systemUUID"),
    )
    for name, version in NODES.items():
        api.create("nodes", {"metadata": {"name": name}})
        info = {**dict.fromkeys(text, "x"), "kubeletVersion": version}
        api.patch("nodes", "", name, {"status": {"nodeInfo": info}}, "status")


@pytest.fixture(scope="module")
def running(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """One operator for the tests of a module."""
    with operator(installed, tmp_path_factory.mktemp("log") / "operator.log") as started:
        started.wait_until_it_leads()
        yield started
        assert started.alive, started.log()
        assert started.stop() == 0


@pytest.fixture(scope="session")
def undisturbed(
    api: Api, apiserver: ApiAccess, installed: Path, nodes: None, tmp_path_factory: pytest.TempPathFactory
) -> story.Undisturbed:
    """The story with an operator that is left alone."""
    namespace, folder = "undisturbed", tmp_path_factory.mktemp("undisturbed")
    api.create("namespaces", {"metadata": {"name": namespace}})
    story.begin(api, namespace)
    points = folder / "points"
    with operator(installed, folder / "operator.log", identity="same", crash_at=f"never:{points}") as process:
        process.wait_until_it_leads()
        at_work = story.at_rest(api, namespace, story.worked)
        story.withdraw(api, namespace)
        withdrawn = story.at_rest(api, namespace, story.withdrawn)
        process.stop()
    story.clear(api, namespace)
    reinstall(apiserver)
    return story.Undisturbed(at_work=at_work, withdrawn=withdrawn, writes=story.noted(points, "done", namespace))
