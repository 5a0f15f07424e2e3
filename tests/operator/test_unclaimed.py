"""What is remembered of grants that nobody claimed."""

from __future__ import annotations

from llmworker_operator.domain.worker import WorkerKey
from llmworker_operator.reconcile.unclaimed import Unclaimed
from tests.operator.making import NOW, at

QWEN, LLAMA = WorkerKey("models", "qwen"), WorkerKey("models", "llama")


def test_the_last_time_by_incident_and_nothing_of_incidents_that_are_gone() -> None:
    memory = Unclaimed()
    assert memory.of(QWEN) == {}
    memory.note(QWEN, "one", NOW)
    memory.note(QWEN, "one", at(30))
    memory.note(QWEN, "two", NOW)
    memory.note(LLAMA, "one", NOW)
    assert memory.of(QWEN) == {"one": at(30), "two": NOW}
    memory.keep(QWEN, ["one", "three"])
    assert memory.of(QWEN) == {"one": at(30)}
    memory.keep(QWEN, [])
    assert memory.of(QWEN) == {}
    assert memory.of(LLAMA) == {"one": NOW}
