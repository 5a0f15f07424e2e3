"""Stale events, doubled events and restarts of the operator: nothing is granted twice, and nothing old anew."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from llmworker_operator.adapters import resources
from llmworker_operator.adapters.cache import Cache
from llmworker_operator.domain.grants import GrantDecision, decide_grants
from tests.operator.making import KEY, at, grant, incident_document, replica, step, worker


def version(number: int, **status: Any) -> dict[str, Any]:
    document = incident_document("a", **{"detected": -10, **status})
    document["metadata"]["resourceVersion"] = str(number)
    return document


LIFE = [
    version(1, phase="AwaitingGrant", requestedStep="Restart"),
    version(2, phase="AwaitingGrant", requestedStep="Restart", grant=grant(-5)),
    version(3, phase="Acting", requestedStep="Restart", grant=grant(-5), steps=[step(-4)]),
    version(4, phase="Verifying", steps=[step(-4)], grant=grant(-5)),
    version(5, phase="Verifying", steps=[step(-4)]),
    version(6, phase="Closed", outcome="Recovered", steps=[step(-4, outcome="Succeeded")]),
]
"""Of one incident, as the API server tells it."""


def decide(cache: Cache) -> GrantDecision:
    return decide_grants(
        policy=worker(watchdog={"remediation": {"budget": {"cooldown": "0s"}}}).watchdog,
        incidents=cache.incidents.of(KEY),
        replicas=[replica("a"), replica("b")],
        wanted=2,
        now=at(0),
    )


def test_the_request_is_granted_while_it_stands() -> None:
    cache = Cache()
    cache.put(resources.INCIDENTS, LIFE[0])
    assert decide(cache).granted


@given(st.integers(1, 5), st.lists(st.sampled_from(LIFE), max_size=12))
def test_events_in_any_order_and_number_bring_no_request_back(known: int, stale: list[dict[str, Any]]) -> None:
    cache = Cache()
    cache.put(resources.INCIDENTS, LIFE[known])
    for event in stale:
        cache.put(resources.INCIDENTS, event)
        assert not decide(cache).granted


@given(st.integers(1, 5), st.lists(st.sampled_from(LIFE), max_size=6))
def test_a_new_process_that_lists_first_replays_nothing(listed: int, late: list[dict[str, Any]]) -> None:
    """Watches of the new process may begin behind its list."""
    cache = Cache()
    cache.put(resources.INCIDENTS, LIFE[listed])
    name = LIFE[listed]["metadata"]["name"]
    cache.keep_only(resources.INCIDENTS, {(KEY.namespace, name)}, listed + 1)
    for event in late:
        cache.put(resources.INCIDENTS, event)
    assert not decide(cache).granted


@given(st.lists(st.sampled_from(LIFE), max_size=6))
def test_an_incident_that_was_removed_is_not_raised_by_a_late_event(late: list[dict[str, Any]]) -> None:
    cache = Cache()
    cache.put(resources.INCIDENTS, LIFE[-1])
    removed = version(7, phase="Closed", outcome="Recovered")
    cache.removed(resources.INCIDENTS, removed)
    for event in late:
        cache.put(resources.INCIDENTS, event)
    assert decide(cache) == GrantDecision()


def test_what_was_granted_before_is_not_granted_again_by_who_decides_anew() -> None:
    """Two decisions from the same moment write with the same version: the API server takes one of them."""
    cache = Cache()
    cache.put(resources.INCIDENTS, LIFE[0])
    first, second = decide(cache), decide(cache)
    assert first == second
    assert {g.incident.resource_version for g in (*first.granted, *second.granted)} == {"1"}
