"""What the loop knows of its recorder: cases go in, what the cluster says about them comes back.

`recorder.kubernetes` keeps them in the API, `recorder.local` serves where there is no cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from llm_watchdog.api.incident import Incident
from llm_watchdog.core.container import EngineContainer
from llm_watchdog.core.situation import Gate, IncidentView, Modes, PowerWish

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from llm_watchdog.core.case import Case
    from llm_watchdog.core.precaution import Precaution
    from llm_watchdog.core.rotation import Rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """The newest that is known; nothing in it is older than its field says."""

    incidents: Mapping[str, IncidentView] = field(default_factory=dict)
    acknowledged: Mapping[str, int] = field(default_factory=dict)
    """Revision of each incident that the API server holds, creation and status both."""
    taken: Mapping[str, Incident] = field(default_factory=dict)
    """Names that belong to another incident already, one of an earlier life of this watchdog."""
    gate: Gate | None = None
    container_id: str | None = None
    """Of the engine; None unless it was read a moment ago."""
    container: EngineContainer | None = None
    """The same."""
    last_exit: str = ""
    """Why the engine's container before this one ended, in the kubelet's word."""
    reference: str = ""
    """What most other replicas answer, who answered unlike this one."""
    modes: Modes | None = None
    power: PowerWish | None = None
    unreachable_since: datetime | None = None
    has_operator: bool = False
    """Somebody is there to evict the pod."""


class Recorder(Protocol):
    """Level-triggered: it is told what the record is to be and works until the record is so."""

    changed: asyncio.Event

    def submit(self, cases: Sequence[Case], rotation: Rotation, precaution: Precaution | None = None) -> None:
        """The record as it is to be from now on."""

    def view(self) -> ClusterView:
        """The newest known."""

    async def run(self) -> None:
        """Work until cancelled."""
