"""What the last comparisons of each worker's replicas came to. Not a memory: the next leader compares anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llmworker_operator.domain.dissent import Dissent, DissentReason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from llmworker_operator.domain.worker import WorkerKey

CONFIRMED: Final = 2
"""Comparisons in a row, in each of which all were heard."""


@dataclass(slots=True)
class _Known:
    found: tuple[Dissent, ...] = ()
    times: dict[str, int] = field(default_factory=dict)
    """By pod that dissents alone: in how many comparisons in a row."""


class Dissents:
    """By worker."""

    def __init__(self) -> None:
        self._known: dict[WorkerKey, _Known] = {}

    def of(self, key: WorkerKey) -> Sequence[Dissent] | None:
        """None: not compared yet by this process."""
        known = self._known.get(key)
        return None if known is None else known.found

    def confirmed(self, key: WorkerKey) -> Mapping[str, str] | None:
        """What the others answer, by the name of each pod that dissents alone, time and again. None: as above."""
        known = self._known.get(key)
        if known is None:
            return None
        return {pod: said for pod, said in _alone(known.found).items() if known.times.get(pod, 0) >= CONFIRMED}

    def learn(self, key: WorkerKey, found: tuple[Dissent, ...], *, sure: bool) -> bool:
        """Whether it is news. Agreement of those that answered is none while others did not (`sure`)."""
        if not sure and not found:
            return False
        before = self._known.get(key, _Known())
        times = {pod: before.times.get(pod, 0) + sure for pod in _alone(found)}
        confirmed_before, found_before = self.confirmed(key), self.of(key)
        self._known[key] = _Known(found=found, times=times)
        return (confirmed_before, found_before) != (self.confirmed(key), found)

    def forget_all_but(self, keys: Collection[WorkerKey]) -> None:
        self._known = {key: known for key, known in self._known.items() if key in keys}


def _alone(found: Collection[Dissent]) -> dict[str, str]:
    """Of several that dissent at once nobody can say that each of them is bad by itself."""
    each = [dissent for dissent in found if dissent.reason is DissentReason.REPLICA_DISSENTS]
    return {dissent.pods[0]: dissent.reference for dissent in each if len(dissent.pods) == 1}
