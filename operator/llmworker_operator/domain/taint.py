"""The taint of a suspect node: which nodes get it, and the patch. Pure. Off unless an administrator switches it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names
from llmworker_operator.domain.node import TAINT, is_tainted, taints_of
from llmworker_operator.domain.times import read_time, write_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from llmworker_operator.domain.nodes import SuspectNode

EFFECT: Final = "NoSchedule"
"""Never `NoExecute`: what runs there may be the only replica that serves."""
ANNOTATION: Final = f"{names.GROUP}/tainted-at"
"""Stays when a person takes the taint away, so that the same evidence does not bring it back."""


def taint_patch(document: Mapping[str, Any], suspect: SuspectNode, now: datetime) -> dict[str, Any] | None:
    """A JSON merge patch, with the whole list and its version as a precondition; None: it has been tainted for this."""
    metadata = document["metadata"]
    before = read_time((metadata.get("annotations") or {}).get(ANNOTATION))
    if is_tainted(document) or (before is not None and (suspect.since is None or suspect.since <= before)):
        return None
    own = {"key": TAINT, "value": suspect.reason.value, "effect": EFFECT}
    return {
        "metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": {ANNOTATION: write_time(now)}},
        "spec": {"taints": [*taints_of(document), own]},
    }
