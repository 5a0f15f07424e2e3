"""kill -9 before and after each write, one after the other: the outcome is the same as without."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab.operator_process import operator
from tests.operator.live import story
from tests.operator.live.policies import reinstall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.cluster.access import ApiAccess
    from tests.operator.live.api import Api
    from tests.operator.live.story import Undisturbed

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("nodes")]

SIGKILLED = -9
LOOK_SECONDS = 1.0
"""A look at the whole story costs the API server as much as a write of the operator."""


@pytest.fixture(autouse=True)
def restored(apiserver: ApiAccess) -> Iterator[None]:
    yield
    reinstall(apiserver)


@pytest.mark.xdist_group("before")
def test_the_story_has_something_of_everything(undisturbed: Undisturbed) -> None:
    left = undisturbed.at_work
    incidents = {name: i["status"] for name, i in left["llmincidents"].items()}
    assert set(incidents) == {"first", "second", "expired", "lost", "ordered", "kept"}
    assert incidents["lost"]["outcome"] == "Lost"
    assert incidents["lost"]["message"] == "Silent. The replica is gone after some s."
    assert [name for name, status in incidents.items() if "grant" in status] == ["first", "ordered"]
    assert incidents["ordered"]["outcome"] == "Recovered"
    assert incidents["ordered"]["steps"][0]["outcome"] == "Succeeded"
    assert not {"gemma-a", "gemma-b"} & left["pods"].keys()
    assert incidents["first"]["phase"] == "Acting"
    methods = {
        name: pod["metadata"].get("annotations", {}).get("llmworker.dev/restart-method")
        for name, pod in left["pods"].items()
    }
    assert methods == {**dict.fromkeys(("gemma-c", "llama-a", "qwen-a", "qwen-b"), "AllContainers"), "qwen-c": None}
    assert left["llmworkers"]["qwen"]["status"]["openIncidents"] == 3
    assert left["rolebindings"]
    assert not undisturbed.withdrawn["rolebindings"]


@pytest.mark.xdist_group("before")
def test_the_undisturbed_operator_writes_everything_that_there_is_to_write(undisturbed: Undisturbed) -> None:
    """By kind: what is not in here would not be died for either."""
    kinds = {(what.split()[0], what.partition("/namespaces/it/")[2].split("/")[0]) for what in undisturbed.writes}
    applied = {*story.PLURALS, "pods", "llmworkers", "llmincidents"}
    removed = {"rolebindings", "controllerrevisions", "llmincidents", "pods"}
    evicted = {("POST", "pods")}
    assert kinds == {("PATCH", plural) for plural in applied} | {("DELETE", plural) for plural in removed} | evicted


SIDES = [pytest.param(side, marks=pytest.mark.xdist_group(side)) for side in ("before", "after")]


@pytest.mark.parametrize("side", SIDES)
def test_killed_around_every_write(
    api: Api, installed: Path, namespace: str, tmp_path: Path, undisturbed: Undisturbed, side: str
) -> None:
    """Each process gets one write further than the one before it, until there is nothing left to write."""
    points, lives = tmp_path / "points", 0
    for turn, expected in ((story.begin, undisturbed.at_work), (story.withdraw, undisturbed.withdrawn)):
        turn(api, namespace)
        while not _one_life(api, installed, namespace, tmp_path / "operator.log", f"{side}:{points}", expected):
            lives += 1
            assert len(story.granted(api, namespace)) <= 1, "the budget is one"
            assert lives < 5 * len(undisturbed.writes), points.read_text()
    assert story.died_for(points, namespace) == undisturbed.writes


def _one_life(api: Api, kubeconfig: Path, namespace: str, log: Path, place: str, final: dict[str, Any]) -> bool:
    """True if it lived to see the end."""
    with operator(kubeconfig, log, crash_at=place, identity="same") as life:
        end = time.monotonic() + 60
        while (left := story.outcome(api, namespace)) != final:
            assert time.monotonic() < end, json.dumps({"expected": final, "found": left})
            if (status := life.wait(LOOK_SECONDS)) is not None:
                assert status == SIGKILLED, life.log()
                return False
            story.play(api, namespace)
        return True
