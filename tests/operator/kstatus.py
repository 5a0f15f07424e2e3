"""The rule by which kstatus, and with it Flux and kpt, tells what has become of a custom resource.

Source: sigs.k8s.io/cli-utils pkg/kstatus/status, `Compute`: deletion, then `checkGeneration`, then the first of
Reconciling and Stalled in the order of the list, then `checkReadyCondition`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Result(StrEnum):
    """kstatus's own words."""

    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    CURRENT = "Current"
    TERMINATING = "Terminating"


def compute(document: Mapping[str, Any]) -> Result:
    """Of an object as the API server hands it out."""
    metadata, status = document["metadata"], document.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return Result.TERMINATING
    # An object that tells no generation is believed: what has no status at all counts as finished.
    if "generation" in metadata and status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return Result.IN_PROGRESS
    conditions = [(c["type"], c["status"]) for c in status.get("conditions") or ()]
    for condition in conditions:
        if condition == ("Reconciling", "True"):
            return Result.IN_PROGRESS
        if condition == ("Stalled", "True"):
            return Result.FAILED
    ready = dict(conditions).get("Ready", "True")
    return Result.CURRENT if ready == "True" else Result.IN_PROGRESS
