"""kubectl on the cluster at hand: get, apply, wait."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, TypeVar

from e2e.cluster.access import ApiAccess as Access
from e2e.cluster.progress import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Access", "TimedOutError", "apply", "get", "items", "run", "wait_for"]

T = TypeVar("T")


class TimedOutError(AssertionError):
    """Something awaited did not come; the message says what was seen last."""


def run(access: Access, *args: str, text: str | None = None) -> str:
    """kubectl's output; ClusterError with kubectl's own words if it fails."""
    return access.kubectl(*args, input=text, check=True).stdout


def get(access: Access, *args: str) -> Any:
    """`kubectl get … -o json`, or None where the object is not there."""
    output = run(access, "get", *args, "-o", "json", "--ignore-not-found")
    return json.loads(output) if output.strip() else None


def items(access: Access, *args: str) -> list[Any]:
    """The items of a list."""
    found = get(access, *args)
    return list(found["items"]) if found else []


def apply(access: Access, *manifests: dict[str, Any]) -> None:
    """Apply manifests as a user would."""
    bundle = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    run(access, "apply", "-f", "-", text=json.dumps(bundle))


def wait_for(what: str, probe: Callable[[], T | None], *, timeout: float, every: float = 0.5) -> T:
    """Poll until the probe returns something true; TimedOutError names what was awaited.

    An API server that does not answer for a moment is one more thing to wait for.
    """
    deadline = time.monotonic() + timeout
    while True:
        seen: object
        try:
            if found := probe():
                return found
            seen = found
        except ClusterError as error:
            seen = error
        if time.monotonic() > deadline:
            raise TimedOutError(f"waited {timeout:.0f} s for {what}; last seen: {seen!r}")
        time.sleep(every)
