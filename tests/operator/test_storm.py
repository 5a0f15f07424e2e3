"""Storms: what repeats makes few Events and no growing memory, and conditions make series that go."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from prometheus_client.registry import CollectorRegistry

from llmworker_operator.adapters import events as events_module
from llmworker_operator.adapters.condition_metrics import ConditionMetrics
from llmworker_operator.adapters.events import NOTE_MAX, EventPoster, Subject
from llmworker_operator.domain.storm import QUIET, Storm
from tests.operator.making import KEY, NOW

if TYPE_CHECKING:
    from llmworker_operator.adapters.kube import Kube


class Posted:
    """An API server that takes every Event."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []

    async def create(self, _resource: object, document: dict[str, Any]) -> None:
        self.documents.append(document)


def subject(name: str = "one") -> Subject:
    return Subject(kind="LLMIncident", namespace="demo", name=name, uid=f"uid-{name}")


async def told(*said: tuple[str, str, float], note: str = "granted Restart") -> list[str]:
    """Name, reason and second of each; what was posted of them."""
    posted = Posted()
    poster = EventPoster(cast("Kube", posted))
    for name, reason, seconds in said:
        now = NOW + timedelta(seconds=seconds)
        poster.post(subject(name), reason=reason, note=note, warning=False, now=now, host="h")
    posting = asyncio.create_task(poster.post_forever())
    await asyncio.sleep(0)
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    return [document["message"] for document in posted.documents]


async def test_ten_thousand_times_the_same_make_fourteen() -> None:
    messages = await told(*(("one", "Granted", n / 10) for n in range(10_000)))
    assert len(messages) == 14
    assert messages[0] == "granted Restart"
    assert messages[-1] == "granted Restart (8192 times since 12:00:00)"


async def test_other_objects_and_other_reasons_are_news() -> None:
    said = [("one", "Granted", 0.0), ("two", "Granted", 1.0), ("one", "Withdrew", 2.0)]
    assert len(await told(*said)) == 3


async def test_after_a_quiet_hour_it_is_news_again() -> None:
    hour = QUIET.total_seconds()
    said = [("one", "Granted", float(n)) for n in range(3)]
    messages = await told(*said, ("one", "Granted", 2 + hour))
    assert messages[-1] == "granted Restart"
    assert len(messages) == 3


async def test_the_number_stands_behind_a_long_note() -> None:
    messages = await told(("one", "Granted", 0), ("one", "Granted", 1), note="x" * 3000)
    assert [len(message) for message in messages] == [NOTE_MAX, NOTE_MAX]
    assert messages[1].endswith(" (2 times since 12:00:00)")


def test_the_memory_of_storms_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(events_module, "STORMS_MAX", 10)
    poster = EventPoster(cast("Kube", Posted()))
    for number in range(100):
        poster.post(subject(str(number)), reason="r", note="", warning=False, now=NOW, host="h")
    assert len(poster._storms) <= 10


def test_a_storm() -> None:
    storm = Storm.begin(NOW)
    counts = []
    for _ in range(20):
        if storm.told:
            counts.append(storm.count)
        storm = storm.again(NOW)
    assert counts == [1, 2, 4, 8, 16]


def series(registry: CollectorRegistry) -> set[tuple[str, str]]:
    return {(s.labels["type"], s.labels["reason"]) for family in registry.collect() for s in family.samples}


def test_a_series_goes_with_its_condition() -> None:
    registry = CollectorRegistry()
    metrics = ConditionMetrics("worker_condition", registry)
    types = {"Degraded", "RemediationHeld"}

    def say(*conditions: tuple[str, str, str]) -> set[tuple[str, str]]:
        metrics.set(KEY, [{"type": t, "status": s, "reason": r} for t, s, r in conditions], types)
        return series(registry)

    held = ("RemediationHeld", "True", "CommonCause")
    assert say(("Ready", "True", "x"), ("Degraded", "False", "x")) == set()
    assert say(held) == {("RemediationHeld", "CommonCause")}
    assert say(held, ("Degraded", "True", "a")) == {("RemediationHeld", "CommonCause"), ("Degraded", "a")}
    assert say(("RemediationHeld", "True", "HourlyLimit")) == {("RemediationHeld", "HourlyLimit")}
    assert say() == set()
