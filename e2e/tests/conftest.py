"""The project installed on the node, a namespace under pod security `restricted`, and cases that tell their story."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from e2e.lab.access import apply, wait_for
from e2e.lab.comparison import PROPERTY, Side, row
from e2e.lab.engines import ENGINES
from e2e.lab.install import install, load_images
from e2e.lab.manifests import fault_engine_worker, vllm_worker
from e2e.lab.plain import PROBES_SECONDS, Plain, is_settled
from e2e.lab.story import Story
from e2e.lab.timeline import Timeline, timeline
from e2e.lab.watching import Seen, Watch
from e2e.lab.workers import Worker

if TYPE_CHECKING:
    from e2e.cluster.source import Cluster
    from e2e.fixtures import OnlyHere

NAMESPACE = "models"
LAST_WORKER_NAMESPACE = "deletion"
"""For the case that deletes the last worker of a namespace, beside others that run meanwhile."""


def restricted_namespace(name: str) -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, or one of them runs on alone at the end; with another behind each, as xdist hands out two."""
    longest = [item for item in items if item.get_closest_marker("longest")]
    others = [item for item in items if not item.get_closest_marker("longest")]
    pairs = [item for pair in zip(longest, others, strict=False) for item in pair]
    items[:] = [*pairs, *longest[len(others) :], *others[len(longest) :]]


@pytest.fixture(scope="session")
def installed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Cluster:
    """Operator, CRDs and admission policy, as `kubectl apply -k` leaves them; once for all processes of a run."""
    done = tmp_path_factory.getbasetemp().parent / f"installed-{testrun_uid}"
    with FileLock(done.with_suffix(".lock")):
        if not done.exists():
            install(cluster)
            apply(cluster, *map(restricted_namespace, (NAMESPACE, LAST_WORKER_NAMESPACE)))
            done.touch()
    return cluster


@pytest.fixture(scope="session")
def vllm_files(only_here: OnlyHere) -> None:
    """They are there; asked before anything is installed for a case that would be skipped."""
    only_here(ENGINES["vllm"].from_this_disk or "")


@pytest.fixture(scope="session")
def vllm_ready(vllm_files: None, installed: Cluster) -> Cluster:
    """The real vLLM's image, and the volume with its files."""
    del vllm_files
    engine = ENGINES["vllm"]
    load_images(installed, engine.images, print)
    engine.prepare(installed, NAMESPACE, print)
    return installed


WorkerFactory = Callable[..., Worker]


@pytest.fixture
def make_worker(installed: Cluster) -> Iterator[WorkerFactory]:
    """`make_worker(name, replicas=2, **spec)`: a worker of fault engines, in rotation; gone after the test."""
    made: list[Worker] = []

    def make(name: str, *, replicas: int = 2, wait: bool = True, namespace: str = NAMESPACE, **options: Any) -> Worker:
        apply(installed, fault_engine_worker(name, namespace, replicas=replicas, **options))
        worker = Worker(installed, namespace, name)
        made.append(worker)
        if wait:
            worker.wait_in_rotation(replicas)
        return worker

    yield make
    for worker in made:
        worker.begin_delete()
    for worker in made:
        worker.delete()
        worker.forget()


VllmFactory = Callable[[str, dict[str, Any]], Worker]


@pytest.fixture
def make_vllm(vllm_ready: Cluster) -> Iterator[VllmFactory]:
    """`make_vllm(name, pod)`: a worker of one replica of the real vLLM, not awaited; gone after the test."""
    made: list[Worker] = []

    def make(name: str, pod: dict[str, Any]) -> Worker:
        apply(vllm_ready, vllm_worker(name, NAMESPACE, pod, replicas=1))
        made.append(Worker(vllm_ready, NAMESPACE, name))
        return made[-1]

    yield make
    for worker in made:
        worker.delete()
        worker.forget()


PlainFactory = Callable[..., Plain]


@pytest.fixture
def make_plain(installed: Cluster) -> Iterator[PlainFactory]:
    """`make_plain(name, pod)`: a plain Deployment of the engine in a pod's spec, not awaited; gone after the test."""
    made: list[Plain] = []

    def make(name: str, pod: dict[str, Any]) -> Plain:
        made.append(Plain.start(installed, NAMESPACE, name, {"spec": pod}, port=8000))
        return made[-1]

    yield make
    for plain in made:
        plain.delete()


@dataclass
class Scene:
    """Everything watched during one test, and the moment of the fault."""

    pods: Watch
    slices: Watch
    incidents: Watch
    story: Story

    def mark(self) -> float:
        """The fault happens now."""
        self.story.zero = time.time()
        return self.story.zero

    def times(self, pod: str) -> Timeline:
        return timeline(pod, self.story.zero, self.pods.seen, self.slices.seen)

    def side(self, pod: str, reports: list[dict[str, Any]] | None = None) -> Side:
        """What became of this pod until now, and of its users' requests."""
        return Side(times=self.times(pod), watched=time.time() - self.story.zero, reports=reports)

    def wait_settled(self, rival: str, start_seconds: float) -> None:
        """Until the plain Deployment's probes have had their say on this pod of it."""

        def settled() -> bool:
            return is_settled(self.times(rival), time.time() - self.story.zero, start_seconds)

        wait_for("the plain Deployment's probes", settled, timeout=PROBES_SECONDS + start_seconds + 10, every=1)


Compare = Callable[[str, Side, Side], None]


@pytest.fixture
def compare(record_property: Callable[[str, object], None]) -> Compare:
    """`compare(case, ours, plain)`: one row of the table at the end of the run."""
    return lambda case, ours, plain: record_property(PROPERTY, row(case, ours, plain))


@pytest.fixture
def scene(installed: Cluster) -> Iterator[Scene]:
    """Watches from before the fault; the story is on stdout, which pytest shows where a test fails."""
    story = Story(print)
    with ExitStack() as stack:

        def watch(kind: str, hook: Callable[[Seen], None]) -> Watch:
            return stack.enter_context(Watch(installed, NAMESPACE, kind, hook))

        yield Scene(
            pods=watch("pods", story.pod),
            slices=watch("endpointslices", story.endpoints),
            incidents=watch("llmincidents", story.incident),
            story=story,
        )
