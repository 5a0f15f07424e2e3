"""What the kubelet says of the engine's container, and what that says about a restart of ours.

A restart that the kubelet sees fail has failed: there is no need to wait until a model could have been loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from llm_watchdog.core.case import EngineMark

OOM_KILLED: Final = "OOMKilled"
CRASH_LOOP: Final = "CrashLoopBackOff"
"""Waits 10 s, doubling to 300 s, before the next start; forgotten after 10 minutes of running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEnd:
    """How the newest run that has ended did so."""

    container_id: str
    reason: str
    """In the kubelet's word: `OOMKilled`, `Error`, `Completed`."""
    exit_code: int | None = None
    at: datetime | None = None
    """In whole seconds, cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineContainer:
    """As the own pod's status showed it a moment ago."""

    waiting: str = ""
    """Why it does not run now."""
    ended: ContainerEnd | None = None


def start_failure(container: EngineContainer | None, before: EngineMark, ordered_at: datetime) -> str:
    """Why the engine that a restart brought did not come up; empty: nothing says so.

    The end of the old engine, by our order, is no failure. Where it is not known which one that was, nothing is said.
    """
    ended = None if container is None else container.ended
    if container is None or ended is None or ended.at is None or ended.at <= ordered_at:
        return ""
    if not before.container_id or not ended.container_id or ended.container_id == before.container_id:
        return ""
    after = f"{(ended.at - ordered_at).total_seconds():.0f} s after the order"
    if ended.reason == OOM_KILLED:
        return f"the new engine was {OOM_KILLED} {after}: its container's memory limit is too low for it"
    if container.waiting == CRASH_LOOP:
        code = "" if ended.exit_code is None else f" with exit code {ended.exit_code}"
        return f"the new engine ended{code} ({ended.reason or 'no reason given'}) {after}, and is in {CRASH_LOOP} now"
    return ""


def is_held_back(container: EngineContainer | None, before: EngineMark) -> bool:
    """The old engine has ended as ordered, and the kubelet waits before it starts the new one."""
    if container is None or container.ended is None or container.waiting != CRASH_LOOP:
        return False
    return bool(before.container_id) and container.ended.container_id == before.container_id
