"""The switch of the whole cluster: a ConfigMap beside the operator whose key `paused` says why. Pure.

Its memory is the condition `Paused` of the workers: content that cannot be understood changes nothing, whoever leads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names
from llm_watchdog.api.policy import PAUSE_REASON_MAX, PausedPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from llm_watchdog.api.policy import WatchdogPolicy

CONFIG_MAP: Final = "llmworker-pause"
KEY: Final = "paused"

_NO_REASON: Final = frozenset({"false", "no", "off", "none", "null", "0"})
"""What somebody writes who wants to end a pause; as a reason it would begin one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPause:
    """As it was read, or as it is in force."""

    reason: str = ""
    """Empty: not paused."""
    problem: str = ""
    """Why the ConfigMap was not understood."""


def read_switch(document: Mapping[str, Any] | None) -> ClusterPause:
    """From the API server's JSON; None: there is no such ConfigMap. A long reason is cut, as a pause must not fail."""
    if document is None:
        return ClusterPause()
    written = (document.get("data") or {}).get(KEY)
    if written is None:
        return ClusterPause(problem=f"it has no key {KEY}")
    reason = " ".join(str(written).split())
    if reason.lower() in _NO_REASON or (written and not reason):
        return ClusterPause(problem=f"{str(written)[:20]!r} is no reason")
    return ClusterPause(reason=reason[:PAUSE_REASON_MAX])


def in_force(read: ClusterPause, before: ClusterPause | None, statuses: Iterable[Mapping[str, Any]]) -> ClusterPause:
    """What was read; where it was not understood, what was in force before.

    A process that does not know (`before` is None) takes it from the workers' conditions: one of them is enough.
    """
    if not read.problem:
        return read
    reason = next(filter(None, map(_said, statuses)), "") if before is None else before.reason
    return replace(read, reason=reason)


def _said(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or ():
        kind, reason = condition.get("type"), condition.get("reason")
        if (kind, reason) == (names.CONDITION_PAUSED, names.REASON_WHOLE_CLUSTER):
            return str(condition.get("message") or "")
    return ""


def with_pause(policy: WatchdogPolicy, pause: ClusterPause) -> WatchdogPolicy:
    """The worker's own policy, paused for as long as the whole cluster is."""
    if not pause.reason:
        return policy
    return replace(policy, paused=PausedPolicy(reason=f"the whole cluster, {pause.reason}"))
