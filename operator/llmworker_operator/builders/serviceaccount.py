"""The identity of all watchdogs of a namespace; it has no rights of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmworker_operator.builders.metadata import shared_metadata, stamped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmworker_operator.domain.worker import Worker


def service_account(namespace: str, workers: Iterable[Worker]) -> dict[str, Any]:
    """No token is mounted by default: the watchdog's container alone gets a projected one."""
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": shared_metadata(namespace, workers),
            "automountServiceAccountToken": False,
        }
    )
