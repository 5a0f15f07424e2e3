"""Conditions that come from beyond the worker: its nodes, its replicas beside one another, a pause. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_watchdog.api import names
from llmworker_operator.domain.cluster_pause import CONFIG_MAP, KEY
from llmworker_operator.domain.condition import Condition, ConditionType

if TYPE_CHECKING:
    from llmworker_operator.domain.cluster_pause import ClusterPause
    from llmworker_operator.domain.facts import Facts


def node_suspect(facts: Facts) -> Condition | None:
    """The surest gives the reason."""
    if not facts.suspect_nodes:
        return None
    reason, message = facts.suspect_nodes[0].reason.value, "; ".join(suspect.message for suspect in facts.suspect_nodes)
    return Condition(type=ConditionType.NODE_SUSPECT, status=True, reason=reason, message=message)


def disagree(facts: Facts) -> Condition | None:
    """What was found before stays until this process has compared."""
    kind = ConditionType.REPLICAS_DISAGREE
    if facts.dissents is None:
        before = next((c for c in facts.worker.status.get("conditions") or () if c.get("type") == kind), None)
        return before and Condition(type=kind, status=True, reason=before["reason"], message=before["message"])
    if not facts.dissents:
        return None
    message = "; ".join(dissent.message for dissent in facts.dissents)
    return Condition(type=kind, status=True, reason=facts.dissents[0].reason.value, message=message)


def paused(facts: Facts) -> Condition | None:
    """This worker by itself; the whole cluster goes before."""
    own = facts.worker.watchdog.paused
    if own is None or facts.pause.reason:
        return None
    return Condition(type=ConditionType.PAUSED, status=True, reason="ThisWorker", message=own.reason)


def cluster_paused(pause: ClusterPause) -> list[Condition]:
    """The watchdogs read the first: its message is the reason and nothing else."""
    reason = names.REASON_WHOLE_CLUSTER
    found = []
    if pause.reason:
        found.append(Condition(type=ConditionType.PAUSED, status=True, reason=reason, message=pause.reason))
    if pause.problem:
        stays = "paused" if pause.reason else "not paused"
        message = (
            f"the ConfigMap {CONFIG_MAP} is not understood, {pause.problem}: the cluster stays {stays} as it was. "
            f'Write a reason under {KEY}, "" to end the pause, or delete the ConfigMap'
        )
        found.append(Condition(type=ConditionType.PAUSE_UNREADABLE, status=True, reason="Malformed", message=message))
    return found
