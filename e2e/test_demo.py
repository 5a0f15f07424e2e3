"""The demo begins only where it can get through, and says of lost requests what was seen of them, and no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.given import GivenCluster
from e2e.cluster.kind import KindCluster
from e2e.cluster.local import LocalNode
from e2e.cluster.places import State
from e2e.cluster.progress import ClusterError
from e2e.demo import refuse, shortfall, told_losses
from e2e.lab.access_logs import PROPAGATION_SECONDS
from e2e.lab.engines import ENGINES
from e2e.lab.timeline import Timeline

LEFT_AT = 106.0
STATE = State(Path("/state"))
GIVEN, KIND, LOCAL = GivenCluster(Path("/config")), KindCluster(STATE, "docker"), LocalNode(STATE)


def report(start: float, outcome: str = "ok") -> dict[str, Any]:
    return {"start": start, "outcome": outcome}


WHOLE = Timeline(out_of_rotation=5.0, restarted=22.0, recovered=30.0)


def incident(pod: str = "qwen-0", outcome: str | None = "Recovered") -> dict[str, Any]:
    return {"spec": {"podRef": {"name": pod}}, "status": {} if outcome is None else {"outcome": outcome}}


@pytest.mark.parametrize(
    ("record", "times", "missing"),
    [
        (incident(), WHOLE, ""),
        (incident("qwen-1"), WHOLE, "about qwen-0"),
        (incident(outcome="SelfHealed"), WHOLE, "Recovered"),
        (incident(outcome=None), WHOLE, "Recovered"),
        (incident(), replace(WHOLE, out_of_rotation=None), "left rotation"),
        (incident(), replace(WHOLE, restarted=None), "started anew"),
        (incident(), replace(WHOLE, recovered=None), "back into rotation"),
    ],
)
def test_the_demo_fails_where_its_main_job_was_not_seen(record: dict[str, Any], times: Timeline, missing: str) -> None:
    told = shortfall(record, "qwen-0", times)
    assert bool(told) == bool(missing)
    assert missing in told


def test_losses_before_and_after_the_cut_are_told_apart() -> None:
    fine = [report(100.0), report(120.0)]
    early, at_the_cut = report(101.0, "timeout"), report(LEFT_AT + PROPAGATION_SECONDS / 2, "cut")
    late = report(LEFT_AT + 2 * PROPAGATION_SECONDS, "refused")
    assert told_losses(fine, LEFT_AT) == "2 requests, none failed"
    assert told_losses([*fine, early, at_the_cut], LEFT_AT) == (
        "4 requests, 2 failed: 2 begun before the replica was cut off, 0 after"
    )
    assert (
        told_losses([early, late], LEFT_AT) == "2 requests, 2 failed: 1 begun before the replica was cut off, 1 after"
    )


def test_without_a_cut_there_is_no_before() -> None:
    assert told_losses([report(1.0, "timeout")], None) == "1 requests, 1 failed; the replica was never cut off"


@pytest.mark.parametrize(
    ("source", "engine", "says"),
    [
        (GIVEN, "fault-engine", "a given cluster has no way to take them: unset KUBECONFIG"),
        (GIVEN, "vllm", "a given cluster has no way to take them: unset KUBECONFIG"),
        (KIND, "vllm", "mounted from this machine's disk, which only the local node can do"),
    ],
)
def test_where_it_could_not_get_through_it_does_not_begin(
    source: GivenCluster | KindCluster, engine: str, says: str
) -> None:
    with pytest.raises(ClusterError, match=says):
        refuse(source, ENGINES[engine])


def test_elsewhere_it_begins() -> None:
    refuse(KIND, ENGINES["fault-engine"])
    for engine in ENGINES.values():
        refuse(LOCAL, engine)
