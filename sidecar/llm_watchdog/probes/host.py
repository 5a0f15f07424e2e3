"""The watcher, as far as all parts of it need it that ask for tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from llm_watchdog.api.policy import Policy
    from llm_watchdog.core.canaries import CanaryObservation
    from llm_watchdog.core.window import Window


class Host(Protocol):
    """Each part adds what it alone needs."""

    @property
    def window(self) -> Window:
        """What was seen."""

    @property
    def policy(self) -> Policy:
        """What is in force."""

    def hear(self, canary: CanaryObservation, epoch: int) -> None:
        """A canary, as far as it has come, and of which engine process."""
