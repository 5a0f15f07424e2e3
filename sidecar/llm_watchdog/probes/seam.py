"""What the loop knows of the looking half: verdicts and facts come out of it, what was decided goes in.

`probes.watch` is the one that looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from llm_watchdog.api.policy import Policy
    from llm_watchdog.api.reasons import FaultClass
    from llm_watchdog.core.baseline import Baseline
    from llm_watchdog.core.cache_memory import CacheMemory
    from llm_watchdog.core.findings import Verdict
    from llm_watchdog.core.metering import Meter


class Window(Protocol):
    """Of the watcher's window, what the loop has to know."""

    @property
    def refused_at(self) -> float | None:
        """When a connection was last refused, on the watcher's clock; None: never."""

    @property
    def meter(self) -> Meter:
        """Of a metered engine: what canaries have cost today."""

    @property
    def baseline(self) -> Baseline:
        """Of this replica's output."""

    @property
    def cache(self) -> CacheMemory:
        """Whether the newest flush has emptied the prefix cache."""


class Looking(Protocol):
    """The watcher, as far as the loop needs it."""

    changed: asyncio.Event

    @property
    def window(self) -> Window:
        """What was seen."""

    @property
    def listener(self) -> int | None:
        """Of the engine's port; 0: nobody listens, None: unreadable."""

    def verdict(self, now: float) -> Verdict:
        """What it means."""

    def heeded(self, now: float, ignored: frozenset[FaultClass]) -> Verdict:
        """The same without what is found of these classes."""

    def confirm(self) -> None:
        """Send a canary now."""

    def unchecked(self, now: float) -> str:
        """Start-up checks still to be made."""

    @property
    def says_asleep(self) -> bool | None:
        """By the engine's own word."""

    def note_power(self, *, asleep: bool, ours: bool) -> None:
        """It may be asleep by our own order; `ours`: and by nobody else's."""

    def note_rotation(self, *, in_rotation: bool) -> None:
        """Some checks are made out of rotation only."""

    def note_exit(self, reason: str) -> None:
        """Why the engine's container before this one ended."""

    def note_reference(self, text: str) -> None:
        """What most other replicas answer."""

    def use(self, policy: Policy) -> None:
        """Another policy is in force."""

    def in_flight(self, now: float) -> int | None:
        """Users' requests."""

    def moving(self, now: float) -> bool | None:
        """Their answers move."""
