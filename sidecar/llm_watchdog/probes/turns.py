"""One request of ours at a time: a canary, or a round of a check, whichever is due.

What is outstanding can be withdrawn: the engine was restarted, went to sleep, or is to have its cache emptied.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from llm_watchdog.core import cadence
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.residence import may_not_be_asked, why_no_canary
from llm_watchdog.probes.host import Host
from llm_watchdog.probes.questions import NothingToAskError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from llm_watchdog.core.check_rounds import CheckKind, CheckObservation
    from llm_watchdog.core.observations import Observation
    from llm_watchdog.probes.canary import CanaryProbe
    from llm_watchdog.probes.checks.checker import Checker
    from llm_watchdog.probes.permission import Permission
    from llm_watchdog.probes.questions import Questions

TICK_SECONDS: Final = 0.5
"""How soon a changed cadence is noticed."""
SOON_SECONDS: Final = 0.001
"""A shorter sleep may be none at all."""


class TurnsHost(Host, Protocol):
    """The watcher, as far as turns need it."""

    @property
    def epoch(self) -> int:
        """Of the engine process that is being looked at."""

    def add(self, observation: Observation, epoch: int) -> None:
        """Something was seen, and of which process."""

    async def guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        """Make this step; an error of our own ends nothing."""


class Turns:
    """Lives as long as the watcher."""

    def __init__(
        self,
        host: TurnsHost,
        *,
        probe: CanaryProbe,
        questions: Questions,
        checker: Checker,
        permission: Permission,
        clock: Callable[[], float],
    ) -> None:
        self._host = host
        self._probe = probe
        self._questions = questions
        self._checker = checker
        self._permission = permission
        self._clock = clock
        self._outstanding: asyncio.Task[CanaryObservation] | asyncio.Task[CheckObservation] | None = None
        self._wanted = asyncio.Event()
        self._asides = 0

    @property
    def own_streams(self) -> int:
        """In the engine now."""
        return max(self._checker.in_flight, int(self._outstanding is not None))

    def confirm(self) -> None:
        """Send a canary as soon as nothing is outstanding."""
        self._wanted.set()

    def withdraw(self) -> None:
        """What is being asked says nothing any more, or must not be asked now."""
        if self._outstanding is not None:
            self._outstanding.cancel()

    @asynccontextmanager
    async def standing_aside(self) -> AsyncIterator[None]:
        """Nothing of ours runs in the engine meanwhile: a cache is flushed only while nothing does."""
        self._asides += 1
        try:
            self.withdraw()
            if self._outstanding is not None:
                await asyncio.wait((self._outstanding,))
            yield
        finally:
            self._asides -= 1

    async def run(self) -> None:
        """Until cancelled."""
        checked = False
        while True:
            if self._asides:
                await asyncio.sleep(TICK_SECONDS)
                continue
            now = self._clock()
            due = cadence.canary_due_at(self._host.window, self._host.policy.engine, self._host.policy.watchdog, now)
            wanted = self._wanted.is_set()
            if due is not None and wanted:
                due = now
            # Where a canary takes longer than its interval the next one is always due: they take turns then.
            its_turn = due is not None and (due > now or not (checked or wanted))
            check = self._checker.due(now) if its_turn else None
            if check is not None:
                checked = True
                await self._host.guarded(partial(self._check, check))
                continue
            if due is None or due > now:
                await asyncio.sleep(TICK_SECONDS if due is None else min(max(due - now, SOON_SECONDS), TICK_SECONDS))
                continue
            self._wanted.clear()
            checked = False
            await self._host.guarded(self._ask)

    async def _ask(self) -> None:
        await self._ask_permission(believed=cadence.FRESH_SECONDS)
        epoch = self._host.epoch
        if may_not_be_asked(self._host.window):
            return
        if why := why_no_canary(self._host.window):
            self._host.add(self._impossible(why), epoch)
            return
        policy = self._host.policy
        try:
            order = await self._questions.order(policy.engine, policy.watchdog.canary)
        except NothingToAskError as error:
            self._host.add(self._impossible(str(error)), epoch)
            return
        if self._asides:
            return
        task = asyncio.create_task(self._probe.send(order, lambda seen: self._host.hear(seen, epoch)))
        self._outstanding = task
        try:
            await asyncio.wait((task,))
        finally:
            self._outstanding = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if task.cancelled():
            return
        self._questions.learn(task.result(), answered=self._host.window.answered)
        if task.result().outcome is not CanaryOutcome.SUCCEEDED:
            await self._ask_permission()

    async def _ask_permission(self, *, believed: float = 0.0) -> None:
        epoch, model = self._host.epoch, self._questions.model(self._host.policy.engine)
        for seen in await self._permission.ask(self._host.window, model, believed=believed):
            self._host.add(seen, epoch)

    async def _check(self, kind: CheckKind) -> None:
        await self._ask_permission(believed=cadence.FRESH_SECONDS)
        epoch = self._host.epoch
        if may_not_be_asked(self._host.window) or self._asides:
            return
        made = await self._checker.check(kind, epoch, self._hold)
        if made is not None:
            self._host.add(made, epoch)

    def _hold(self, task: asyncio.Task[CheckObservation] | None) -> None:
        self._outstanding = task

    def _impossible(self, why: str) -> CanaryObservation:
        now = self._clock()
        return CanaryObservation(
            id=self._questions.next_id(),
            shape="",
            started_at=now,
            finished_at=now,
            outcome=CanaryOutcome.IMPOSSIBLE,
            detail=why,
        )
