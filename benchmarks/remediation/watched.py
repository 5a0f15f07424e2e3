"""What the watch of incidents said, line by line, as the observer stamped it. Pure; without the operator's code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RESTART = "Restart"


class WatchBrokenError(RuntimeError):
    """Something may be missing from the record, so nothing can be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One version of one incident."""

    at: float
    """Seconds of a clock that only grows."""
    worker: tuple[str, str]
    """Namespace and name."""
    incident: str
    pod: str
    """Its uid."""
    phase: str = "Open"
    outcome: str = ""
    asks: bool = False
    """For a restart."""
    grant: str = ""
    """When it was given; empty without one."""
    begun: bool = False
    """A restart is on record."""

    @property
    def closed(self) -> bool:
        return self.phase == "Closed"

    @property
    def waits(self) -> bool:
        return self.asks and not self.grant

    @property
    def holds(self) -> bool:
        """The replica is in a granted step: permitted, claimed, or begun and not over."""
        return not self.closed and (bool(self.grant) or self.begun or self.phase in {"Acting", "Verifying"})


def read(lines: Iterable[str]) -> list[Seen]:
    """Raises WatchBrokenError at anything but a change of an incident."""
    return [_seen(line) for line in lines]


def _seen(line: str) -> Seen:
    stamp, _, text = line.partition(" ")
    try:
        event: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise WatchBrokenError(f"no JSON: {text[:80]!r}") from error
    if event["type"] not in {"ADDED", "MODIFIED"}:
        raise WatchBrokenError(f"the watch said {event['type']}: {text[:200]}")
    return seen(float(stamp), event["object"])


def seen(at: float, document: Mapping[str, Any]) -> Seen:
    metadata, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    phase = status.get("phase", "Open")
    return Seen(
        at=at,
        worker=(metadata["namespace"], spec["workerRef"]["name"]),
        incident=metadata["name"],
        pod=spec["podRef"]["uid"],
        phase=phase,
        outcome=status.get("outcome", ""),
        asks=phase == "AwaitingGrant" and status.get("requestedStep") == RESTART,
        grant=(status.get("grant") or {}).get("grantedAt", ""),
        begun=any(step["step"] == RESTART for step in status.get("steps") or ()),
    )
