"""Own requests of which the engine has not told the end: the only ones that are ever aborted by their id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import CanaryOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_watchdog.core.canaries import CanaryObservation

KEPT: Final = 64
"""The newest; what is older was given up by every engine, or the whole engine hangs."""

_NOTHING_LEFT: Final = frozenset(
    {
        CanaryOutcome.SUCCEEDED,
        CanaryOutcome.REFUSED,
        CanaryOutcome.REJECTED,
        CanaryOutcome.SERVER_ERROR,
        CanaryOutcome.NOT_SENT,
        CanaryOutcome.IMPOSSIBLE,
    }
)
"""Ended by the engine, or never begun in it. All others ended on our side, by closing the connection."""


class Unended:
    """Of one engine process."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """Oldest first."""
        return tuple(self._ids)

    def note(self, canary: CanaryObservation) -> None:
        """As far as it has come."""
        if canary.outcome in _NOTHING_LEFT:
            self._ids.pop(canary.id, None)
        else:
            self._ids[canary.id] = None
            while len(self._ids) > KEPT:
                del self._ids[next(iter(self._ids))]

    def forget(self, ids: Iterable[str]) -> None:
        """They were aborted."""
        for each in ids:
            self._ids.pop(each, None)

    def clear(self) -> None:
        """Another engine process runs now."""
        self._ids.clear()
