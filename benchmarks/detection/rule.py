"""A rule: something that looks at a replica and takes it out of rotation, restarts it, or tells somebody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.detection.simulation.network import Network
from benchmarks.detection.trace import Deed

if TYPE_CHECKING:
    from e2e.fault_engine.exchange import Message


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


class Wire(Protocol):
    """The way to a port, simulated or real."""

    async def open(self, method: str, path: str, headers: Mapping[str, str], body: bytes, *, own: bool) -> Any:
        """Send a request. Raises OSError and httpx.HTTPError, as the others do."""

    async def next(self, connection: Any) -> Message:
        """The next part of the answer, as ASGI names them."""

    def close(self, connection: Any) -> None:
        """By the client."""


class Container(Protocol):
    """What a story may do to the model server."""

    woken_at: float | None

    @property
    def network(self) -> Wire:
        """To its port."""

    def order(self, name: str, argument: str | None, incidence: float | None = None) -> None:
        """Put a fault in force."""

    def load_again(self, name: str, argument: str | None) -> None:
        """Somebody else restarts it, and with this fault it loads for long."""


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
