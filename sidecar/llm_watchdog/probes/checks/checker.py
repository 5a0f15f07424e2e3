"""The watcher's part that makes active checks: when, in which setting, and what becomes of a disturbed round."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from llm_watchdog.core import check_plan
from llm_watchdog.core.alone import joined
from llm_watchdog.core.check_rounds import CheckObservation
from llm_watchdog.probes.checks.rounds import Rounds
from llm_watchdog.probes.checks.streams import Streams
from llm_watchdog.probes.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_watchdog.core.canaries import CanaryObservation
    from llm_watchdog.core.check_rounds import CheckKind
    from llm_watchdog.core.observations import StatusObservation
    from llm_watchdog.engines.dialect import Dialect
    from llm_watchdog.probes.canary import CanaryProbe
    from llm_watchdog.probes.engine_client import EngineClient
    from llm_watchdog.probes.questions import Questions
    from llm_watchdog.probes.tally import Tally

COMPANY_SECONDS: Final = 0.25
"""How soon a check notices that somebody came."""

log = logging.getLogger(__name__)


class CheckerHost(Host, Protocol):
    """The watcher, as far as checks need it."""

    @property
    def tally(self) -> Tally:
        """What it costs."""

    async def cache_hits(self) -> float | None:
        """The engine's own count of prompt tokens that came from its cache."""


class Checker:
    """Lives as long as the watcher."""

    def __init__(
        self,
        host: CheckerHost,
        *,
        client: EngineClient,
        dialect: Dialect,
        probe: CanaryProbe,
        questions: Questions,
        clock: Callable[[], float],
    ) -> None:
        self.in_rotation = True
        """Told by the loop. Until it has: users may come at any time."""
        self._host = host
        self._dialect = dialect
        self._questions = questions
        self._clock = clock
        self._epoch = 0
        self._looks: tuple[StatusObservation, ...] = ()
        self._slots: int | None = None
        self._streams = Streams(
            probe, questions, cache_hits=host.cache_hits, heard=self._hear, unheard=self._count_silently
        )
        self._rounds = Rounds(self._streams, client, dialect, questions, clock)

    @property
    def in_flight(self) -> int:
        """Streams of the round that is being made."""
        return self._streams.in_flight

    def due(self, now: float) -> CheckKind | None:
        """What to check now, given that no canary is outstanding."""
        return check_plan.due(self._host.window, self.setting(), now)

    def unchecked(self, now: float) -> str:
        """Start-up checks that are still to be made; empty: none."""
        return check_plan.unchecked(self._host.window, self.setting(), now)

    def describe(self) -> dict[str, str]:
        """Per kind: why it is not made, or how the newest round ended."""
        return check_plan.describe(self._host.window, self.setting(), self._clock())

    def setting(self) -> check_plan.Setting:
        """What may be checked here and now."""
        window, policy = self._host.window, self._host.policy
        return check_plan.Setting(
            target=policy.engine,
            policy=policy.watchdog.checks,
            cold=self._questions.can_bypass_cache,
            pair_is_safe=self._dialect.pair_is_safe,
            slots=policy.engine.concurrency or self._slots_told(window.status),
            in_rotation=self.in_rotation,
        )

    def _slots_told(self, looks: tuple[StatusObservation, ...]) -> int | None:
        """By the newest look that tells them. Asked several times for each, and most engines never tell."""
        if looks is not self._looks:
            told = (look.reading.slots for look in reversed(looks) if look.reading is not None)
            self._looks, self._slots = looks, next((slots for slots in told if slots), None)
        return self._slots

    async def check(
        self, kind: CheckKind, epoch: int, outstanding: Callable[[asyncio.Task[CheckObservation] | None], None]
    ) -> CheckObservation | None:
        """One round, which is one canary; None: it was withdrawn.

        It is given up as soon as somebody else is served, unless it harms nobody and is no part of a baseline.
        """
        self._epoch, began = epoch, self._clock()
        goes_on = check_plan.may_be_beside(kind, self._host.window, self.setting())
        beside = check_plan.is_beside(self._host.window, self.setting(), began)
        first = not self._host.window.checks
        task = asyncio.create_task(self._rounds.make(kind, self.setting(), self._host.policy, first=first))
        outstanding(task)
        try:
            while not task.done() and (goes_on or not joined(self._host.window, began)):
                await asyncio.wait((task,), timeout=COMPANY_SECONDS)
        finally:
            outstanding(None)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._host.tally.checks[kind] += 1
        void = CheckObservation(at=self._clock(), started_at=began, kind=kind)
        if task.cancelled():
            return replace(void, disturbed=True) if not goes_on and joined(self._host.window, began) else None
        mistake = task.exception()
        if mistake is not None:
            # Holds nothing up, and is not made again at once: the next one would fail as well.
            self._host.tally.own_errors += 1
            log.error("a check failed by its own fault", exc_info=mistake)
            return replace(void, not_applicable=f"the watchdog's own fault: {type(mistake).__name__}")
        return replace(task.result(), beside=beside or joined(self._host.window, began))

    def _hear(self, stream: CanaryObservation) -> None:
        """It stands for the round as a canary does: its tokens are a sign of life, its silence is one of a hang."""
        self._host.hear(stream, self._epoch)
        if stream.finished_at is not None:
            self._host.tally.count_check(stream)

    def _count_silently(self, stream: CanaryObservation) -> None:
        if stream.finished_at is not None:
            self._host.tally.count(stream)
            self._host.tally.count_check(stream)
