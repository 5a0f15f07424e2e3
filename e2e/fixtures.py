"""pytest fixtures: `apiserver` and `cluster`, a real API server and a real node, once per session each; `promtool`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from e2e.cluster.abilities import why_no_images, why_not_here
from e2e.cluster.access import ApiAccess
from e2e.cluster.apiserver import temporary_apiserver
from e2e.cluster.binaries import ensure_programs
from e2e.cluster.progress import Progress
from e2e.cluster.source import Cluster, ClusterSource, Source, as_cluster, open_source


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
def promtool(pytestconfig: pytest.Config) -> Path:
    """Prometheus' own judge of rules."""
    with shown(pytestconfig):
        return ensure_programs(["promtool"], Progress())["promtool"]


@pytest.fixture(scope="session")
def cluster_source(pytestconfig: pytest.Config) -> ClusterSource:
    """Where the cluster comes from; not started. Where it takes no images, every case fails at once and says why."""
    with shown(pytestconfig):
        source = open_source(
            pytestconfig.getoption("--cluster-source"), pytestconfig.getoption("--kubeconfig"), Progress()
        )
    if why := why_no_images(source):
        pytest.fail(why, pytrace=False)
    return source


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config, cluster_source: ClusterSource) -> Iterator[Cluster]:
    """A node. One that runs already is used and left running; one that was started here ends with the session."""
    progress = Progress()
    with shown(pytestconfig):
        ran_before = cluster_source.runs()
        access = cluster_source.up(progress)
    yield as_cluster(access, cluster_source)
    if not ran_before:
        with shown(pytestconfig):
            cluster_source.down(progress)


OnlyHere = Callable[[str], None]


@pytest.fixture(scope="session")
def only_here(cluster_source: ClusterSource) -> OnlyHere:
    """`only_here(what)` skips what needs this machine's own files and processes where the node is elsewhere."""

    def check(what: str) -> None:
        if why := why_not_here(what, cluster_source):
            pytest.skip(why)

    return check
