"""Which replicas fail, which workers a restart does not cure, and what may be granted to each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

PER_NAMESPACE: Final = 20
"""Workers; the ServiceAccount and the RoleBinding of a namespace carry one owner reference for each."""
PER_NODE: Final = 8
"""Replicas, as there are accelerators in a common server."""
WIDE_PERCENT: Final = 40
"""`maxUnavailable` of every other worker: two of five, so that the brake has something to hold back. The rest has the
default, one.
"""
INCURABLE: Final = 0.2
"""Share of the workers whose trials prove nothing."""
BRAKE_PERCENT: Final = 50
"""Default of `brake.share`, rounded up; `brake.minReplicas` is 2."""
MAX_PER_HOUR: Final = 4
"""Default of `budget.maxPerHour`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """One LLMWorker and how it is to fail."""

    namespace: str
    name: str
    replicas: int
    is_wide: bool
    is_cured: bool = True
    """By a restart."""
    faulty: tuple[int, ...] = ()
    """Numbers of replicas."""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def max_unavailable(self) -> int | str:
        """As it stands in the manifest."""
        return f"{WIDE_PERCENT}%" if self.is_wide else 1

    @property
    def allowed(self) -> int:
        """Replicas in granted steps at once: a percentage is rounded down, to 1 at least, never all of several."""
        return max(1, min(self.replicas * WIDE_PERCENT // 100, self.replicas - 1)) if self.is_wide else 1

    @property
    def alike(self) -> int:
        """So many replicas with one fault have a common cause."""
        return max(2, -(-self.replicas * BRAKE_PERCENT // 100))

    @property
    def has_cause(self) -> bool:
        return len(self.faulty) >= self.alike

    @property
    def is_held(self) -> bool:
        """In the end the brake holds what is left: the trial did not cure."""
        return self.has_cause and not self.is_cured

    @property
    def ends(self) -> int | None:
        """Incidents that end closed. None: at least one, and how many were granted before enough of them were known
        is luck.
        """
        return None if self.is_held else min(len(self.faulty), MAX_PER_HOUR)


def fleet(workers: int, replicas: int) -> list[WorkerPlan]:
    """Nobody fails yet."""
    return [
        WorkerPlan(
            namespace=f"fleet-{number // PER_NAMESPACE:02}",
            name=f"w{number:03}",
            replicas=replicas,
            is_wide=number % 2 == 1,
        )
        for number in range(workers)
    ]


def scenario(workers: Sequence[WorkerPlan], share: float, drawn: int) -> list[WorkerPlan]:
    """Exactly this share of all replicas, wherever the draw puts them. The same numbers draw the same."""
    luck = Random(f"{drawn}/{share}")  # noqa: S311 - no secret
    places = [(worker, replica) for worker in range(len(workers)) for replica in range(workers[worker].replicas)]
    chosen: dict[int, list[int]] = {}
    for worker, replica in sorted(luck.sample(places, round(share * len(places)))):
        chosen.setdefault(worker, []).append(replica)
    return [
        WorkerPlan(
            namespace=worker.namespace,
            name=worker.name,
            replicas=worker.replicas,
            is_wide=worker.is_wide,
            is_cured=luck.random() >= INCURABLE,
            faulty=tuple(chosen.get(number, ())),
        )
        for number, worker in enumerate(workers)
    ]
