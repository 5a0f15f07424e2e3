"""A seed is all that it takes to disturb the same requests again."""

from __future__ import annotations

from collections import Counter

from tests.operator.live.perturbed.calls import Call
from tests.operator.live.perturbed.perturbations import Draw


def call(who: str, method: str = "PATCH", namespace: str = "operator-1", name: str = "qwen-1") -> Call:
    return Call(
        who=who,
        method=method,
        path=f"/apis/llmworker.dev/v1alpha1/namespaces/{namespace}/llmincidents/{name}/status",
        query={},
    )


def hits(calls: list[Call], seed: int) -> dict[str, list[bool]]:
    draw = Draw(seed)
    told: dict[str, list[bool]] = {}
    for each in calls:
        told.setdefault(each.kind, []).append(draw.hits_now(each))
    return told


def test_what_others_did_in_between_changes_nothing() -> None:
    one, other = [call("qwen-x-0")] * 40, [call("operator")] * 40
    beside = [each for pair in zip(one, other, strict=True) for each in pair]
    assert hits(one + other, 7) == hits(beside, 7)


def test_names_change_nothing() -> None:
    again = [call("operator", namespace="operator-2", name="qwen-2")] * 40
    assert hits([call("operator")] * 40, 7) == hits(again, 7)


def test_seeds_differ_and_writes_are_hit_more_often_than_reads() -> None:
    writes, reads = [call("operator")] * 400, [call("operator", "GET")] * 400
    assert hits(writes, 1) != hits(writes, 2)
    counted = Counter({kind: sum(told) for kind, told in hits(writes + reads, 1).items()})
    assert [kind.split()[1] for kind, _ in counted.most_common()] == ["PATCH", "GET"]
    assert min(counted.values()) > 0
