"""A round of comparisons: whom it asks, and what silence, redeployment and a deleted worker do to what was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from llmworker_operator.adapters import resources
from llmworker_operator.adapters.cache import Cache
from llmworker_operator.reconcile.comparing import compare_all
from llmworker_operator.reconcile.dissents import Dissents
from tests.operator.making import KEY, worker_document
from tests.operator.test_dissent import BAD, GOOD, Ids, status

if TYPE_CHECKING:
    from llmworker_operator.reconcile.context import Context


@dataclass
class World:
    """What a round touches of a context: pods by address, and what each of their watchdogs says."""

    cache: Cache = field(default_factory=Cache)
    dissents: Dissents = field(default_factory=Dissents)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    versions: int = 0

    def __post_init__(self) -> None:
        self.cache.put(resources.WORKERS, worker_document())
        for name, product in (("n1", "H200"), ("n2", "A100")):
            labels = {"nvidia.com/gpu.product": product}
            self.cache.put(resources.NODES, {"metadata": {"name": name, "labels": labels, "resourceVersion": "1"}})

    @property
    def pages(self) -> World:
        return self

    async def read(self, address: str) -> dict[str, Any] | None:
        self.asked.append(address)
        return self.said.get(address)

    def pod(self, name: str, answers: Ids | None, *, node: str = "n1", ready: bool = True) -> None:
        """None: it does not answer."""
        self.versions += 1
        address = f"10.0.0.{ord(name)}"
        labels = {"llmworker.dev/worker": KEY.name, "pod-template-hash": "r1"}
        metadata = {"namespace": KEY.namespace, "uid": name, "labels": labels, "resourceVersion": str(self.versions)}
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        seen = {"podIP": address, "conditions": [condition]}
        document = {"metadata": {"name": name, **metadata}, "spec": {"nodeName": node}, "status": seen}
        self.cache.put(resources.PODS, document)
        if answers is None:
            self.said.pop(address, None)
        else:
            self.said[address] = status(answers)

    async def round(self) -> list[str]:
        """The reasons that stand after it."""
        self.asked.clear()
        await compare_all(cast("Context", self))
        return [dissent.reason.value for dissent in self.dissents.of(KEY) or ()]


def three(answers: Ids = BAD, **fields: Any) -> World:
    world = World()
    for name in "ab":
        world.pod(name, GOOD)
    world.pod("c", answers, **fields)
    return world


async def test_one_dissents() -> None:
    world = three()
    assert await compare_all(cast("Context", world)) == {KEY}
    assert await compare_all(cast("Context", world)) == {KEY}, "it is confirmed"
    assert await compare_all(cast("Context", world)) == set(), "no news"
    (dissent,) = world.dissents.of(KEY) or ()
    assert dissent.message.startswith("c answers unlike a, b ")


async def test_another_accelerator_is_none() -> None:
    assert await three(node="n2").round() == []


async def test_who_is_out_of_rotation_is_not_asked_and_two_are_too_few() -> None:
    world = three(ready=False)
    assert await world.round() == []
    assert world.asked == []


async def test_silence_ends_nothing_and_agreement_does() -> None:
    world = three()
    assert await world.round() == ["ReplicaDissents"]
    world.pod("c", None)
    assert await world.round() == ["ReplicaDissents"]
    world.pod("c", GOOD)
    assert await world.round() == []


async def test_scaled_down_to_two_it_ends() -> None:
    world = three()
    assert await world.round() == ["ReplicaDissents"]
    world.pod("b", GOOD, ready=False)
    assert await world.round() == []


async def test_a_worker_that_is_gone_is_forgotten() -> None:
    world = three()
    await world.round()
    deleted = worker_document()
    deleted["metadata"]["resourceVersion"] = "99"
    world.cache.removed(resources.WORKERS, deleted)
    await world.round()
    assert world.dissents.of(KEY) is None
