"""The looking half of the watchdog: it asks the engine, keeps the window and gives the verdict; it never acts.

Contract with the loop, which owns the event loop and the clock:

- `await watcher.run()` looks until it is cancelled. `watcher.changed` is set after what may prove or refute something:
  a canary or a check that ended, sleep and wake. Deadlines pass without any of these, so the loop also asks twice a
  second, which is soon enough for all else.
- `watcher.verdict(now)` is pure and cheap. `now` comes from the clock that was passed in (`time.monotonic`).
- `watcher.confirm()`: send a canary now (a proof is wanted). `watcher.reset(reason)`: the engine was restarted, all
  history is void, the verdict is `Unknown`/`Starting` until a canary is answered. A refused connection, another
  listening socket or a new process start time do the same by themselves.
- `watcher.use(policy)` takes a new policy document. `watcher.recognize(listener)`, before `run`: the journal says that
  a canary had passed in the engine whose listening socket has that inode; if it still listens, silence is a fault.
- `watcher.window.meter`: what canaries of a metered engine have cost today; the loop journals it, `__main__` puts it
  back after a restart of the watchdog.
- `watcher.in_flight(now)`: users' requests that are being served; None when the sockets cannot be read (busy).
  `watcher.moving(now)`: answers moved lately; None likewise.
- `watcher.listener`: inode of the listening socket, 0 while nobody listens, None while it cannot be read.
  `watcher.window.refused_at`: when a connection was last refused.
- `watcher.window.baseline`: what is known of this replica's own output; journalled and put back likewise.
  `watcher.unchecked(now)`: start-up checks that a proof, or the first entry into rotation, still waits for.
  `watcher.recheck()`: the cache was flushed, all checks are due again; `watcher.standing_aside()`: nothing of ours runs
  in the engine while it is. `watcher.note_rotation(...)`: checks that drop streams are made out of rotation only.
  `watcher.checks()`: what becomes of each, for `/status`.
- `watcher.tally`: canaries by outcome, tokens, times to first token, for the metrics.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from llm_watchdog.core import cadence
from llm_watchdog.core.canaries import CanaryObservation
from llm_watchdog.core.check_rounds import CheckObservation
from llm_watchdog.core.deadlines import endless_after, learn, patience
from llm_watchdog.core.intake import observe
from llm_watchdog.core.lending import lend, read_reference
from llm_watchdog.core.observations import Beat, Observation, SocketsObservation, StateObservation
from llm_watchdog.core.records import changed
from llm_watchdog.core.residence import may_not_be_asked
from llm_watchdog.core.verdict import judge
from llm_watchdog.core.window import Window
from llm_watchdog.engines.registry import dialect_of
from llm_watchdog.probes import sockets
from llm_watchdog.probes.canary import CanaryProbe
from llm_watchdog.probes.checks.checker import Checker
from llm_watchdog.probes.endpoints import Endpoints
from llm_watchdog.probes.engine_client import ENGINE_HOST, EngineClient
from llm_watchdog.probes.free_looks import FreeLooks
from llm_watchdog.probes.permission import Permission
from llm_watchdog.probes.questions import Questions
from llm_watchdog.probes.tally import Tally
from llm_watchdog.probes.turns import TICK_SECONDS, Turns
from llm_watchdog.probes.unended import Unended

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    import httpx

    from llm_watchdog.api.policy import Policy
    from llm_watchdog.api.reasons import FaultClass
    from llm_watchdog.core.findings import Verdict
    from llm_watchdog.core.lending import Reference
    from llm_watchdog.probes.free_looks import Look

    Step = Callable[[], Awaitable[None]]
    LookAtSockets = Callable[[int, float], SocketsObservation]

BEAT_SECONDS: Final = 0.5
LEDGER_STALE_SECONDS: Final = 5.0
TRACEBACKS_MAX: Final = 5
"""A probe that always fails would fill the log with the same one."""

log = logging.getLogger(__name__)


class Watcher:
    """One engine under watch."""

    def __init__(
        self,
        policy: Policy,
        *,
        pod: str,
        clock: Callable[[], float],
        api_key: Callable[[], str | None] = lambda: None,
        transport: httpx.AsyncBaseTransport | None = None,
        look_at_sockets: LookAtSockets = sockets.look,
        today: Callable[[], str] = lambda: datetime.now(UTC).date().isoformat(),
        host: str = ENGINE_HOST,
    ) -> None:
        self.window = Window()
        self.tally = Tally()
        self.changed = asyncio.Event()
        self.policy = policy
        self.epoch = 0
        self._reference_text = ""
        self._reference: Reference | None = None
        self._clock = clock
        self._look_at_sockets = look_at_sockets
        self._today = today
        self._dialect = dialect_of(policy.engine)
        self._client = EngineClient(policy.engine.port, api_key, transport, host, self._dialect.forbidden)
        self.unended = Unended()
        self._canary = CanaryProbe(self._client, self._dialect, clock, self.unended)
        self._endpoints = Endpoints(self._client, self._dialect, clock, own_streams=lambda: self._turns.own_streams)
        self._questions = Questions(
            self._client,
            self._dialect,
            pod,
            patience=lambda shape: patience(self.window, self.policy.watchdog, shape),
            endless_after=lambda shape: endless_after(self.window, shape),
        )
        self._free = FreeLooks(
            self._endpoints,
            self._dialect,
            clock,
            window=lambda: self.window,
            model=lambda: self._questions.model(self.policy.engine),
        )
        self._checker = Checker(
            self,
            client=self._client,
            dialect=self._dialect,
            probe=self._canary,
            questions=self._questions,
            clock=clock,
        )
        self._turns = Turns(
            self,
            probe=self._canary,
            questions=self._questions,
            checker=self._checker,
            permission=Permission(self._endpoints, self._dialect, clock),
            clock=clock,
        )
        self._sockets: SocketsObservation | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        looks: list[tuple[Step, Callable[[], float]]] = [
            (self._beat, lambda: BEAT_SECONDS),
            (self._sockets_step, lambda: cadence.SOCKETS_SECONDS),
        ]
        looks += [(partial(self._free_step, look), interval) for look, interval in self._free.schedule()]
        try:
            async with asyncio.TaskGroup() as group:
                for step, interval in looks:
                    group.create_task(self._repeat(step, interval))
                group.create_task(self._turns.run())
        finally:
            await self._client.aclose()

    def verdict(self, now: float) -> Verdict:
        """What the window says now. It learns from what a healthy verdict covers."""
        verdict = judge(self.window, self.policy.engine, self.policy.watchdog, now)
        self.window = learn(self.window, verdict)
        return verdict

    def heeded(self, now: float, ignored: frozenset[FaultClass]) -> Verdict:
        """The same without what is found of these classes. Nothing is learned from it."""
        return judge(self.window, self.policy.engine, self.policy.watchdog, now, ignored)

    def use(self, policy: Policy) -> None:
        """From now on. The engine's type and port are those of the pod and do not change under it."""
        self.policy = policy

    def confirm(self) -> None:
        """Send a canary as soon as none is outstanding."""
        self._turns.confirm()

    def reset(self, reason: str) -> None:
        """Another engine process runs now: nothing that was seen, or is being asked, says anything about it."""
        self.epoch += 1
        self.unended.clear()
        self.window = self.window.restarted(reason)
        self._turns.withdraw()
        self.confirm()

    def recheck(self) -> None:
        """What the checks have shown is void, though not what was learned from them: the cache was flushed."""
        self.window = self.window.rechecked(self._clock())
        self._turns.withdraw()
        self.confirm()

    def standing_aside(self) -> AbstractAsyncContextManager[None]:
        """Nothing of ours runs in the engine meanwhile: a cache is flushed only while nothing does."""
        return self._turns.standing_aside()

    def unchecked(self, now: float) -> str:
        """Start-up checks that are still to be made; empty: none."""
        return self._checker.unchecked(now)

    def checks(self) -> dict[str, str]:
        """Per kind: why it is not made, or how the newest round ended. For people."""
        return self._checker.describe()

    def note_exit(self, reason: str) -> None:
        """Why the engine's container before this one ended, in the kubelet's word."""
        if reason != self.window.last_exit:
            self.window = changed(self.window, last_exit=reason)

    def note_reference(self, text: str) -> None:
        """What most other replicas answer, who answered unlike this one; empty: nobody says so."""
        if text != self._reference_text:
            self._reference_text, self._reference = text, read_reference(text)
        if self._reference is not None:
            self.window = lend(self.window, self._reference)

    @property
    def says_asleep(self) -> bool | None:
        """By the engine's own word, asleep or paused; None where it does not tell."""
        window = self.window
        state = window.states[-1] if window.states else None
        page = window.metrics[-1].reading if window.metrics else None
        told = (state is not None and state.asleep is not None) or (page is not None and page.asleep is not None)
        return window.asleep_by_state or window.asleep_by_metrics if told else None

    def note_power(self, *, asleep: bool, ours: bool) -> None:
        """The engine may be asleep by our own order: it is asked for nothing. `ours`: and by nobody else's."""
        if ours != self.window.sleep_is_ours:
            self.window = changed(self.window, sleep_is_ours=ours)
        if asleep != self.window.asleep_by_order:
            self.window = self.window.ordered(asleep=asleep, at=self._clock())
            if asleep:
                self._turns.withdraw()

    def note_wake_failed(self) -> None:
        """A wake of ours was answered with an error."""
        self.window = changed(self.window, wake_failed_at=self._clock())

    def note_rotation(self, *, in_rotation: bool) -> None:
        """Some checks are made out of rotation only."""
        self._checker.in_rotation = in_rotation

    def recognize(self, listener: int) -> bool:
        """Does the engine still listen in which a canary had passed before this process started?"""
        self._look()
        if self._sockets is None or not self._sockets.readable or listener not in self._sockets.listeners:
            return False
        warm = self._questions.shapes(self.policy.watchdog.canary)
        self.window = changed(self.window, answered=True, warm_shapes=warm)
        return True

    def expect(self) -> None:
        """The engine has come up in an earlier life of this watchdog, and is another process now."""
        self.window = self.window.started_anew(self._clock())

    @property
    def listener(self) -> int | None:
        """Inode of the listening socket; 0: nobody listens; None: cannot be read."""
        if self._sockets is None or not self._sockets.readable:
            return None
        return min(self._sockets.listeners, default=0)

    def in_flight(self, now: float) -> int | None:
        """Users' requests that are being served."""
        return self.window.ledger.served(now) if self._sees_sockets(now) else None

    def moving(self, now: float) -> bool | None:
        """Users' answers moved a moment ago."""
        return cadence.users_are_moving(self.window, now) if self._sees_sockets(now) else None

    def _sees_sockets(self, now: float) -> bool:
        at = self.window.ledger.at
        return self.window.ledger.readable and at is not None and now - at <= LEDGER_STALE_SECONDS

    def add(self, observation: Observation, epoch: int) -> None:
        """Something was seen; not of a process that is gone."""
        if epoch != self.epoch:
            return
        self.window = observe(self.window, observation)
        if may_not_be_asked(self.window):
            self._turns.withdraw()
        if _is_news(observation):
            self.changed.set()

    async def _repeat(self, step: Step, interval: Callable[[], float]) -> None:
        began: float | None = None
        while True:
            now = self._clock()
            left = 0.0 if began is None else began + interval() - now
            if left <= 0:
                began = now
                await self.guarded(step)
            # All looks wake at the same moments: each wake of the process costs more than what most of them do.
            await asyncio.sleep(min(max(left, 0.0), TICK_SECONDS - now % TICK_SECONDS))

    async def guarded(self, step: Step) -> None:
        """Make it. An error of our own says nothing about the engine, and must not end the looking."""
        try:
            await step()
        except Exception:
            self.tally.own_errors += 1
            log.exception(
                "probe failed by its own fault, %d so far",
                self.tally.own_errors,
                exc_info=self.tally.own_errors <= TRACEBACKS_MAX,
            )
            await asyncio.sleep(TICK_SECONDS)

    async def cache_hits(self) -> float | None:
        """The engine's own count of prompt tokens that came from its cache."""
        return await self._free.cache_hits()

    def hear(self, canary: CanaryObservation, epoch: int) -> None:
        """A canary, as far as it has come; one of an engine that is gone is not counted."""
        self.add(canary, epoch)
        if canary.finished_at is not None:
            self.tally.count(canary)
            if self.policy.engine.metered:
                self.window = changed(self.window, meter=self.window.meter.add(canary, self._today()))

    async def _beat(self) -> None:
        self.window = observe(self.window, Beat(at=self._clock()))
        if self.policy.engine.metered:
            self.window = changed(self.window, meter=self.window.meter.on(self._today()))

    async def _free_step(self, look: Look) -> None:
        epoch = self.epoch
        async for seen in look():
            self.add(seen, epoch)

    async def _sockets_step(self) -> None:
        self._look()

    def _look(self) -> None:
        self._sockets = self._look_at_sockets(self.policy.engine.port, self._clock())
        self.add(self._sockets, self.epoch)


def _is_news(observation: Observation) -> bool:
    match observation:
        case CanaryObservation():
            return observation.finished_at is not None
        case CheckObservation() | StateObservation():
            return True
        case _:
            return False
