"""A rule: something that looks at a replica and takes it out of rotation, restarts it, or tells somebody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from benchmarks.detection.simulation.network import Network
    from benchmarks.detection.trace import Deed


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """What a rule is given."""

    network: Network
    dialect: str
    slots: int
    did: Callable[[Deed, str, str], None]
    """To be told of each deed: which, fault class and reason."""
    restart: Callable[[], None]
    starts: Callable[[], int]
    """How often the container has been started, by whomever: the kubelet knows."""
    running: Callable[[], bool]
    """Its process lives."""
    failed: Callable[[], None]
    """To be told of an exception in the rule's own code."""


class Rule(Protocol):
    """Made anew for each run."""

    async def watch(self, replica: Replica) -> None:
        """Until cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A rule that takes part."""

    name: str
    make: Callable[[], Rule]
    dialects: frozenset[str]
    """Where it can be used at all."""
    watches_rotation: bool = True
    """It decides whether the replica is in rotation; else somebody else does, who lets it in."""
