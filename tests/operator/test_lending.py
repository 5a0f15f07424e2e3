"""Who is told what the other replicas answer: one that dissents alone, time and again, in a worker at rest."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from llm_watchdog.api import names
from llm_watchdog.core.lending import read_reference
from llmworker_operator.adapters.errors import ConflictError
from llmworker_operator.domain.facts import Rollout
from llmworker_operator.domain.lending import references_to_write
from llmworker_operator.domain.replica import read_replica
from llmworker_operator.domain.snapshot import Snapshot
from llmworker_operator.reconcile.dissents import CONFIRMED, Dissents
from llmworker_operator.reconcile.pods import write_references
from tests.operator.making import KEY, NOW, incident, replica, worker
from tests.operator.test_comparing import World
from tests.operator.test_dissent import BAD, GOOD, WORSE, Ids, compared, status

if TYPE_CHECKING:
    from llmworker_operator.domain.replica import Replica
    from llmworker_operator.domain.worker import Worker
    from llmworker_operator.reconcile.context import Context

THEIRS = '{"key":"vllm 0.33 qwen"}'
DONE = Rollout(exists=True, complete=True)


def after(*rounds: tuple[Ids, ...], sure: bool = True) -> dict[str, str]:
    """By pod, what was confirmed after these comparisons."""
    dissents = Dissents()
    for answers in rounds:
        dissents.learn(KEY, compared(*answers), sure=sure)
    return dict(dissents.confirmed(KEY) or {})


ONE = (GOOD, GOOD, BAD)


@pytest.mark.parametrize(
    ("rounds", "told"),
    [
        ([ONE], []),
        ([ONE, ONE], ["c"]),
        ([ONE, (GOOD, GOOD, GOOD), ONE], []),
        ([ONE, (GOOD, BAD, GOOD)], []),
        ([(GOOD, GOOD, GOOD, BAD, BAD)] * 3, []),
        ([(GOOD, GOOD, GOOD, BAD, WORSE)] * 3, []),
        ([(GOOD, GOOD, BAD, BAD)] * 3, []),
        ([(GOOD, BAD, WORSE)] * 3, []),
        ([(GOOD, BAD)] * 3, []),
        ([ONE, (GOOD, GOOD, WORSE)], ["c"]),
    ],
    ids=[
        "once",
        "twice",
        "not in a row",
        "another one",
        "two alike",
        "two unlike",
        "half",
        "all",
        "two replicas",
        "as unlike as before, in other words",
    ],
)
def test_who_is_told(rounds: list[tuple[Ids, ...]], told: list[str]) -> None:
    assert list(after(*rounds)) == told


def test_a_comparison_in_which_not_all_were_heard_confirms_nothing() -> None:
    assert after(*[ONE] * (CONFIRMED + 2), sure=False) == {}


def test_a_new_leader_begins_anew() -> None:
    assert Dissents().confirmed(KEY) is None


def test_what_is_written_is_what_the_watchdog_reads() -> None:
    (written,) = after(ONE, ONE).values()
    read = read_reference(written)
    assert read is not None
    assert read.key == "vllm 0.33 qwen"
    assert {prompt.prompt: prompt.tokens for prompt in read.prompts} == {
        "count": ["1", "2", "3"],
        "days": ["4", "5", "6"],
    }
    assert all(prompt.stable and prompt.by_id and len(prompt.logprobs) == 3 for prompt in read.prompts)


def due(
    confirmed: dict[str, str],
    *replicas: Replica,
    rollout: Rollout = DONE,
    of: Worker | None = None,
    incidents: list[Any] | None = None,
) -> list[tuple[str, str]]:
    found = references_to_write(
        confirmed, worker=of or worker(), replicas=replicas, incidents=incidents or [], rollout=rollout
    )
    return [(each.name, reference) for each, reference in found]


WELL, SICK = replica("a"), replica("c")


def test_the_one_that_dissents_is_told_and_no_other() -> None:
    assert due({"c": THEIRS}, WELL, SICK) == [("c", THEIRS)]


def test_once_it_stands_there_nothing_is_written() -> None:
    assert due({"c": THEIRS}, WELL, replace(SICK, reference=THEIRS)) == []


def test_it_is_taken_away_once_it_agrees() -> None:
    assert due({}, WELL, replace(SICK, reference=THEIRS)) == [("c", "")]


@pytest.mark.parametrize(
    "fields",
    [
        {"rollout": Rollout(exists=True)},
        {"of": replace(worker(), asleep_wished=True)},
        {"incidents": [incident("c")]},
    ],
    ids=["during a rollout", "about to sleep", "dealt with"],
)
def test_nothing_is_told(fields: dict[str, Any]) -> None:
    assert due({"c": THEIRS}, WELL, SICK, **fields) == []


def test_nothing_is_told_to_one_that_is_out_of_rotation_or_goes() -> None:
    assert due({"c": THEIRS}, replace(SICK, ready=False)) == []
    assert due({"c": THEIRS}, replace(SICK, terminating=True)) == []


def test_an_incident_that_is_over_hinders_nothing() -> None:
    over = incident("c", phase="Closed", outcome="Recovered")
    assert due({"c": THEIRS}, SICK, incidents=[over]) == [("c", THEIRS)]


# The write.


@dataclass
class Kube:
    patches: list[dict[str, Any]] = field(default_factory=list)
    conflict: bool = False

    async def patch(self, _resource: object, _namespace: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.conflict:
            raise ConflictError("as ordered")
        self.patches.append({"name": name, **body["metadata"]})
        labels = {names.LABEL_WORKER: KEY.name, "pod-template-hash": "r1"}
        metadata = {"name": name, "namespace": KEY.namespace, "uid": name, "resourceVersion": "99", "labels": labels}
        seen = {"podIP": f"10.0.0.{ord(name)}", "conditions": [{"type": "Ready", "status": "True"}]}
        annotations = {key: value for key, value in body["metadata"]["annotations"].items() if value is not None}
        return {"metadata": {**metadata, "annotations": annotations}, "spec": {"nodeName": "n1"}, "status": seen}


def complete() -> Any:
    status = {
        "observedGeneration": 1,
        "replicas": 2,
        "updatedReplicas": 2,
        "conditions": [{"type": "Progressing", "reason": "NewReplicaSetAvailable"}],
    }
    document = {"metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": status}
    return SimpleNamespace(document=document)


async def told(world: World, kube: Kube) -> None:
    """One pass after a round of comparisons."""
    context = SimpleNamespace(kube=kube, cache=world.cache, dissents=world.dissents)
    snapshot = Snapshot(
        worker=worker(),
        neighbours=[],
        replicas=world.cache.replicas.of(KEY),
        incidents=[],
        children={("Deployment", KEY.name): complete()},
        kubelets={},
        admission_problems=[],
        now=NOW,
    )
    await write_references(cast("Context", context), snapshot)


async def test_from_comparisons_to_the_pod_and_back() -> None:
    world, kube = World(), Kube()
    for name in "abc":
        world.pod(name, BAD if name == "c" else GOOD)
    await told(world, kube)
    await world.round()
    await told(world, kube)
    assert kube.patches == [], "once is not enough"
    await world.round()
    await told(world, kube)
    [patch] = kube.patches
    assert (patch["name"], patch["uid"]) == ("c", "c")
    assert read_reference(patch["annotations"][names.ANNOTATION_REFERENCE]) is not None
    await told(world, kube)
    assert len(kube.patches) == 1, "it stands there"
    world.said[f"10.0.0.{ord('c')}"] = status(GOOD)
    await world.round()
    await told(world, kube)
    assert kube.patches[-1]["annotations"] == {names.ANNOTATION_REFERENCE: None}
    await told(world, kube)
    assert len(kube.patches) == 2


async def test_a_pod_that_has_changed_meanwhile_is_looked_at_again() -> None:
    world, kube = World(), Kube(conflict=True)
    for name in "abc":
        world.pod(name, BAD if name == "c" else GOOD)
    for _ in range(CONFIRMED):
        await world.round()
    await told(world, kube)
    kube.conflict = False
    await told(world, kube)
    assert len(kube.patches) == 1


def test_the_annotation_is_read_back() -> None:
    metadata = {"name": "c", "uid": "c", "annotations": {names.ANNOTATION_REFERENCE: THEIRS}}
    assert read_replica({"metadata": metadata}).reference == THEIRS
    assert read_replica({"metadata": {**metadata, "annotations": None}}).reference == ""
