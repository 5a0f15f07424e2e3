"""What the last comparison of each worker's replicas came to. Not a memory: the next leader compares anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from llmworker_operator.domain.dissent import Dissent
    from llmworker_operator.domain.worker import WorkerKey


class Dissents:
    """By worker."""

    def __init__(self) -> None:
        self._known: dict[WorkerKey, tuple[Dissent, ...]] = {}

    def of(self, key: WorkerKey) -> Sequence[Dissent] | None:
        """None: not compared yet by this process."""
        return self._known.get(key)

    def learn(self, key: WorkerKey, found: tuple[Dissent, ...], *, sure: bool) -> bool:
        """Whether it is news. Agreement of those that answered is none while others did not (`sure`)."""
        if not sure and not found:
            return False
        before, self._known[key] = self._known.get(key), found
        return before != found

    def forget_all_but(self, keys: Collection[WorkerKey]) -> None:
        self._known = {key: found for key, found in self._known.items() if key in keys}
