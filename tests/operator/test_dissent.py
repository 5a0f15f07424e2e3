"""Replicas beside one another: who dissents, when all do, and what is not comparable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_watchdog.api.document import encode
from llm_watchdog.core.baseline import Baseline
from llm_watchdog.core.replica import Replica as Memory
from llm_watchdog.core.signature import Signature
from llmworker_operator.domain.conditions import evaluate
from llmworker_operator.domain.dissent import Dissent, DissentReason, compare, read_fingerprint
from llmworker_operator.domain.facts import Facts, Rollout
from llmworker_operator.domain.node import read_node
from llmworker_operator.reconcile.dissents import Dissents
from tests.operator.making import KEY, replica, worker

Ids = dict[str, tuple[int, ...]]
GOOD: Ids = {"count": (1, 2, 3), "days": (4, 5, 6)}
BAD: Ids = {"count": (7, 7, 7), "days": (8, 8, 8)}
WORSE: Ids = {"count": (9, 9, 9), "days": (9, 8, 7)}


def status(answers: Ids, **fields: Any) -> dict[str, Any]:
    """As a watchdog encodes its memory."""
    prompts = [
        Signature(
            prompt=name,
            text=f"text of {ids}",
            tokens=[str(i) for i in ids],
            by_id=True,
            logprobs=[-0.01] * len(ids),
            **fields,
        )
        for name, ids in answers.items()
    ]
    return {"replica": encode(Memory(baseline=Baseline(key="vllm 0.33 qwen", prompts=prompts)))}


def compared(*answers: Ids, **fields: Any) -> tuple[Dissent, ...]:
    read = [
        read_fingerprint(status(each, **fields), replica(name, revision="r1"), "H200")
        for name, each in zip("abcdefgh", answers, strict=False)
    ]
    return compare(fingerprint for fingerprint in read if fingerprint)


@pytest.mark.parametrize(
    ("answers", "reason", "named"),
    [
        ([], None, ""),
        ([GOOD, BAD], None, ""),
        ([GOOD, GOOD, GOOD], None, ""),
        ([GOOD, GOOD, BAD], DissentReason.REPLICA_DISSENTS, "c answers unlike a, b "),
        ([BAD, GOOD, GOOD, GOOD], DissentReason.REPLICA_DISSENTS, "a answers unlike b, c, d "),
        ([GOOD, GOOD, GOOD, BAD, BAD], DissentReason.REPLICA_DISSENTS, "d, e answers unlike a, b, c "),
        ([GOOD, GOOD, GOOD, BAD, WORSE], DissentReason.REPLICA_DISSENTS, "d, e answers unlike a, b, c "),
        ([GOOD, GOOD, BAD, BAD], None, ""),
        ([GOOD, GOOD, BAD, WORSE], None, ""),
        ([GOOD, BAD, WORSE], DissentReason.ALL_DISSENT, "no two of a, b, c "),
    ],
    ids=["none", "two", "agreed", "one", "first", "two alike", "two unlike", "half", "half and two", "all"],
)
def test_who_dissents(answers: list[Ids], reason: DissentReason | None, named: str) -> None:
    found = compared(*answers)
    assert [dissent.reason for dissent in found] == ([reason] if reason else [])
    assert all(dissent.message.startswith(named) for dissent in found)


def test_what_it_answers_and_what_the_others_do_is_said() -> None:
    (found,) = compared(GOOD, GOOD, BAD)
    assert "'text of (7, 7, 7)' instead of 'text of (1, 2, 3)'" in found.message


def test_one_prompt_of_two_that_differs_is_none() -> None:
    """Judged k of n, as over time."""
    assert compared(GOOD, GOOD, {**GOOD, "days": (4, 5, 9)}, GOOD) == ()


def test_prompts_that_the_model_is_not_sure_of_do_not_count() -> None:
    assert compared(GOOD, GOOD, BAD, stable=False) == ()


def test_too_few_prompts_in_common_are_not_comparable() -> None:
    one: Ids = {"count": (7, 7, 7)}
    assert compared(GOOD, GOOD, one) == ()
    assert compared(one, {"count": (1, 2, 3)}, {"count": (3, 2, 1)}) == ()


def test_a_tie_is_none() -> None:
    tied = status({"count": (1, 2, 3), "days": (4, 5, 6)})
    other = status({"count": (1, 2, 9), "days": (4, 5, 9)})
    for document in (tied, other):
        for prompt in document["replica"]["baseline"]["prompts"]:
            prompt["logprobs"] = [-0.01, -0.01, -0.7]
    read = [
        read_fingerprint(each, replica(n, revision="r"), "") for n, each in zip("abc", [tied, tied, other], strict=True)
    ]
    assert compare(f for f in read if f) == ()


@pytest.mark.parametrize("change", [{"revision": "r2"}, {}])
def test_another_revision_or_accelerator_is_another_group(change: dict[str, str]) -> None:
    read = [read_fingerprint(status(GOOD), replica(name, revision="r1"), "H200") for name in "ab"]
    odd = read_fingerprint(status(BAD), replica("c", **{"revision": "r1", **change}), "H200" if change else "H100")
    assert compare(f for f in [*read, odd] if f) == ()


def test_another_engine_or_model_is_another_group() -> None:
    other = status(BAD)
    other["replica"]["baseline"]["key"] = "vllm 0.34 qwen"
    read = [
        read_fingerprint(each, replica(n, revision="r"), "")
        for n, each in zip("abc", [status(GOOD)] * 2 + [other], strict=True)
    ]
    assert compare(f for f in read if f) == ()


def broken(**fields: Any) -> dict[str, Any]:
    document = status(GOOD)
    for prompt in document["replica"]["baseline"]["prompts"]:
        prompt.update(fields)
    return document


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"replica": None},
        {"replica": []},
        {"replica": {"baseline": {"key": "", "prompts": []}}},
        {"replica": {"baseline": {"prompts": "many"}}},
        broken(tokens=None),
        broken(tokens=["x"] * 65),
        broken(logprobs=[float("nan")] * 3),
        broken(logprobs="-0.1"),
        broken(tolerance=float("inf")),
        broken(stable="yes"),
    ],
)
def test_what_is_no_fingerprint(document: dict[str, Any]) -> None:
    assert read_fingerprint(document, replica("a"), "") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["prompts", "key", "tokens"]), inner),
    max_leaves=8,
)


@given(JSON)
def test_a_pod_may_say_whatever_it_likes(baseline: Any) -> None:
    read = read_fingerprint({"replica": {"baseline": baseline}}, replica("a"), "")
    assert compare([read] * 3 if read else []) == ()


@pytest.mark.parametrize(
    ("labels", "accelerator"),
    [
        ({}, ""),
        ({"kubernetes.io/arch": "amd64"}, "amd64"),
        ({"kubernetes.io/arch": "amd64", "nvidia.com/gpu.product": "NVIDIA-H200"}, "NVIDIA-H200"),
        ({"node.kubernetes.io/instance-type": "p5.48xlarge", "kubernetes.io/arch": "amd64"}, "p5.48xlarge"),
    ],
)
def test_the_type_of_accelerator(labels: dict[str, str], accelerator: str) -> None:
    assert read_node({"metadata": {"name": "n", "labels": labels}}).accelerator == accelerator


FOUND = (Dissent(reason=DissentReason.REPLICA_DISSENTS, message="c answers unlike a, b"),)


def test_silence_of_some_does_not_end_what_was_found() -> None:
    dissents = Dissents()
    assert dissents.learn(KEY, FOUND, sure=False)
    assert not dissents.learn(KEY, FOUND, sure=True)
    assert not dissents.learn(KEY, (), sure=False)
    assert dissents.of(KEY) == FOUND
    assert dissents.learn(KEY, (), sure=True)
    assert dissents.of(KEY) == ()
    dissents.forget_all_but([])
    assert dissents.of(KEY) is None


def condition(dissents: tuple[Dissent, ...] | None, before: dict[str, Any] | None = None) -> tuple[str, str] | None:
    written = replace(worker(), status={"conditions": [before]} if before else {})
    facts = Facts(worker=written, replicas=[], incidents=[], rollout=Rollout(complete=True), dissents=dissents)
    found = [c for c in evaluate(facts) if c.type == "ReplicasDisagree"]
    return (found[0].reason, found[0].message) if found else None


def test_the_condition_stays_until_a_new_leader_has_compared() -> None:
    before = {"type": "ReplicasDisagree", "status": "True", "reason": "ReplicaDissents", "message": FOUND[0].message}
    said = ("ReplicaDissents", FOUND[0].message)
    assert condition(FOUND) == said
    assert condition(None, before) == said
    assert condition((), before) is None
    assert condition(None) is None
