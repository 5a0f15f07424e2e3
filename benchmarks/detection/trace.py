"""What a rule did to one replica, and what its looking cost: the record that all figures are made from. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Deed(StrEnum):
    """Seen from outside."""

    ENTERED = "entered"
    """Rotation."""
    LEFT = "left"
    RESTART = "restart"
    OPENED = "opened"
    """An incident, or an alert."""
    CLOSED = "closed"
    STEP = "step"


@dataclass(frozen=True, slots=True)
class Event:
    at: float
    """Seconds since the run began."""
    deed: Deed
    fault: str = ""
    reason: str = ""


@dataclass(slots=True)
class Cost:
    """Of the rule's own requests to the engine."""

    requests: int = 0
    generations: int = 0
    tokens: int = 0
    user_tokens: int = 0


@dataclass(slots=True)
class Trace:
    events: list[Event] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    onset: float | None = None
    """When the fault came into force; None: never, or there was none."""
    ended: float = 0.0
    own_errors: int = 0
    """Exceptions in the rule's own code."""

    def add(self, at: float, deed: Deed, fault: str = "", reason: str = "") -> None:
        self.events.append(Event(round(at, 3), deed, fault, reason))
