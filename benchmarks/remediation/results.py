"""What one scenario showed, as numbers, and all of them as JSON. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from benchmarks.detection.bounds import quantile
from benchmarks.remediation.judging import Breach, Judged, Waited

if TYPE_CHECKING:
    from collections.abc import Sequence

NVSENTINEL_P90: Final = {0.1: 28.15, 0.25: 163.44, 0.5: 418.6}
"""Seconds from the signal to the cordoned node, by share of 1,503 nodes (NVIDIA/NVSentinel v0.4.0,
tests/scale-tests/results/FQM_Latency_and_Queue_Depth_Results.md). Staggered over 30 s, breaker off from 25 % on.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Seconds."""

    count: int
    p50: float | None
    p90: float | None
    p99: float | None
    longest: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(
            count=len(values),
            p50=quantile(values, 0.5),
            p90=quantile(values, 0.9),
            p99=quantile(values, 0.99),
            longest=max(values, default=None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of the operator. CPU and writes from the first incident to the end of the scenario."""

    start_seconds: float
    cpu_at_start: float
    cpu_seconds: float
    starved_seconds: float
    """In which its event loop could have run and had no core: what the machine, not the operator, made others wait."""
    over_seconds: float
    rss_at_rest_mib: float
    peak_mib: float
    writes: int
    failed_passes: int
    unexpected_errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """On which it all ran, the API server and the fake watchdogs too."""

    cores: int
    nice: int
    load_before: float
    """Of one minute."""
    load_after: float
    client_p50: float | None
    """Seconds of one write of the fake watchdogs, with its wait for a connection."""
    client_p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`problems`: why it says less than it should, or shows a defect."""

    share: float
    workers: int
    replicas: int
    judged: Judged
    cost: Cost
    machine: Machine
    problems: tuple[str, ...] = ()

    @property
    def waits(self) -> Spread:
        """Of all grants, since nothing forbade them."""
        return Spread.of([one.wait for one in self.judged.waited])

    @property
    def at_once(self) -> Spread:
        """Of those that nothing ever forbade."""
        return Spread.of([one.wait for one in self.judged.waited if one.is_first])

    @property
    def in_turn(self) -> Spread:
        """Of those that had to wait for their turn, since it was theirs."""
        return Spread.of([one.wait for one in self.judged.waited if not one.is_first])

    @property
    def reported(self) -> Spread:
        """From the incident to the grant, of those that nothing ever forbade."""
        return Spread.of([one.reported for one in self.judged.waited if one.is_first])

    @property
    def with_turn(self) -> Spread:
        """From the request to the grant, of all: mostly the restarts of others."""
        return Spread.of([one.wait + one.turn for one in self.judged.waited])

    @property
    def writes_per_grant(self) -> float | None:
        grants = len(self.judged.waited)
        return self.cost.writes / grants if grants else None

    @property
    def is_sound(self) -> bool:
        return not (self.judged.budget or self.judged.brake or self.problems)


@dataclass(slots=True, kw_only=True)
class Results:
    drawn: int
    restart_seconds: float
    proof_seconds: float
    scenarios: list[Scenario] = field(default_factory=list)


def as_json(results: Results) -> dict[str, Any]:
    return asdict(results)


def from_json(document: dict[str, Any]) -> Results:
    """What `as_json` wrote."""
    return Results(**{**document, "scenarios": [_scenario(each) for each in document["scenarios"]]})


def _scenario(document: dict[str, Any]) -> Scenario:
    judged = dict(document["judged"])
    judged["waited"] = [Waited(**each) for each in judged["waited"]]
    for rule in ("budget", "brake"):
        judged[rule] = [Breach(**{**each, "worker": tuple(each["worker"])}) for each in judged[rule]]
    return Scenario(
        **{
            **document,
            "judged": Judged(**judged),
            "cost": Cost(**document["cost"]),
            "machine": Machine(**document["machine"]),
            "problems": tuple(document["problems"]),
        }
    )
