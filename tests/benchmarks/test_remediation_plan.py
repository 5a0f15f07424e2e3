"""Who fails is drawn exactly and reproducibly, and the numbers copied from the policy are still its defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.remediation.fleet import pod_manifest, worker_manifest
from benchmarks.remediation.plan import BRAKE_PERCENT, MAX_PER_HOUR, WorkerPlan, fleet, scenario
from llm_watchdog.api.amount import Amount
from llm_watchdog.api.policy import BrakePolicy, BudgetPolicy
from llmworker_operator.domain.worker import Worker, read_worker


def plan(**fields: Any) -> WorkerPlan:
    return WorkerPlan(**{"namespace": "n", "name": "w", "replicas": 5, "is_wide": False, **fields})


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 1.0])
def test_exactly_this_share_fails(share: float) -> None:
    drawn = scenario(fleet(20, 5), share, 7)
    assert sum(len(each.faulty) for each in drawn) == round(100 * share)
    assert all(len(set(each.faulty)) == len(each.faulty) for each in drawn)
    assert all(0 <= number < 5 for each in drawn for number in each.faulty)


def test_the_same_number_draws_the_same_and_another_one_another() -> None:
    assert scenario(fleet(20, 5), 0.25, 7) == scenario(fleet(20, 5), 0.25, 7)
    assert scenario(fleet(20, 5), 0.25, 7) != scenario(fleet(20, 5), 0.25, 8)


def test_names_are_unique_and_spread_over_namespaces() -> None:
    workers = fleet(200, 5)
    assert len({each.key for each in workers}) == 200
    assert len({each.namespace for each in workers}) == 10


@pytest.mark.parametrize("replicas", range(1, 12))
@pytest.mark.parametrize("is_wide", [True, False])
def test_what_is_allowed_is_what_the_policy_says(replicas: int, *, is_wide: bool) -> None:
    each = plan(replicas=replicas, is_wide=is_wide)
    assert each.allowed == Amount.parse(each.max_unavailable).at_most(replicas)
    brake = BrakePolicy()
    assert each.alike == max(brake.min_replicas, brake.share.at_least(replicas))


def test_the_defaults_that_it_counts_on() -> None:
    assert BudgetPolicy().max_per_hour == MAX_PER_HOUR
    assert str(BrakePolicy().share) == f"{BRAKE_PERCENT}%"
    assert str(BudgetPolicy().max_unavailable) == str(plan().max_unavailable)


@pytest.mark.parametrize(
    ("faulty", "is_cured", "ends", "is_held"),
    [
        ((), True, 0, False),
        ((1, 2), True, 2, False),
        ((1, 2), False, 2, False),
        ((0, 1, 2), True, 3, False),
        ((0, 1, 2), False, None, True),
        ((0, 1, 2, 3, 4), True, 4, False),
    ],
)
def test_how_it_ends(faulty: tuple[int, ...], ends: int | None, *, is_cured: bool, is_held: bool) -> None:
    each = plan(faulty=faulty, is_cured=is_cured)
    assert (each.ends, each.is_held) == (ends, is_held)


@pytest.mark.parametrize("is_wide", [True, False])
def test_the_operator_reads_the_worker_as_it_is_meant(*, is_wide: bool) -> None:
    manifest = worker_manifest(plan(is_wide=is_wide))
    metadata = {**manifest["metadata"], "uid": "u", "generation": 1, "resourceVersion": "1"}
    read = read_worker({**manifest, "metadata": metadata})
    assert isinstance(read, Worker)
    assert read.max_unavailable == plan(is_wide=is_wide).allowed
    budget = read.watchdog.remediation.budget
    assert replace(budget, max_unavailable=Amount("1")) == BudgetPolicy()


def test_a_pod_is_named_as_the_admission_policy_demands() -> None:
    template: dict[str, Any] = {"metadata": {"labels": {"llmworker.dev/worker": "w"}}, "spec": {"containers": []}}
    deployment = {"spec": {"template": template}}
    made = pod_manifest(plan(), 3, "node-000", deployment)
    assert made["metadata"]["name"] == "w-5d8f7c9b6-00003"
    assert made["spec"]["nodeName"] == "node-000"
    assert "pod-template-hash" not in template["metadata"]["labels"]
