"""pytest fixtures: `apiserver`, a real API server, and `cluster`, a real node; each started once per session."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from e2e.cluster.access import ApiAccess
from e2e.cluster.apiserver import temporary_apiserver
from e2e.cluster.progress import Progress
from e2e.cluster.source import Cluster, Source, as_cluster, open_source


def pytest_addoption(parser: pytest.Parser) -> None:
    systems = parser.getgroup("systems")
    systems.addoption("--load-seconds", type=float, default=30.0, help="how long a good load on a real system lasts")
    systems.addoption("--good-rounds", type=int, default=20, help="how often a clean system is asked for cross-talk")
    group = parser.getgroup("cluster")
    group.addoption("--kubeconfig", type=Path, help="run on this cluster; its context must be on the allow-list")
    group.addoption(
        "--cluster-source",
        choices=[each.value for each in Source],
        default=Source.AUTO.value,
        help="where the cluster comes from",
    )


def shown(config: pytest.Config) -> AbstractContextManager[None]:
    """A start may take minutes at first: its progress is for the person who waits, not for the report."""
    capture = config.pluginmanager.getplugin("capturemanager")
    context: AbstractContextManager[None] = capture.global_and_fixture_disabled()
    return context


@pytest.fixture(scope="session")
def apiserver(pytestconfig: pytest.Config) -> Iterator[ApiAccess]:
    """etcd and kube-apiserver of this session's own: no controllers, no kubelet, nothing in it at the start."""
    with ExitStack() as stack:
        with shown(pytestconfig):
            access = stack.enter_context(temporary_apiserver(Progress()))
        yield access


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """A node. One that runs already is used and left running; one that was started here ends with the session."""
    progress = Progress()
    with shown(pytestconfig):
        source = open_source(
            pytestconfig.getoption("--cluster-source"), pytestconfig.getoption("--kubeconfig"), progress
        )
        ran_before = source.runs()
        access = source.up(progress)
    yield as_cluster(access, source)
    if not ran_before:
        with shown(pytestconfig):
            source.down(progress)
