"""Gather, decide, act: the one place where looking, deciding and acting meet. Every decision itself is in `core`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.case import EngineMark, Stage
from llm_watchdog.core.records import changed
from llm_watchdog.core.replica import Pass, Replica, decide, forget, resolve_taken
from llm_watchdog.core.situation import Situation, Traffic
from llm_watchdog.history import History
from llm_watchdog.settings import StatedModes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from llm_watchdog.actions.abort import AbortAction
    from llm_watchdog.actions.drain import Drain
    from llm_watchdog.actions.flush import FlushAction
    from llm_watchdog.actions.power import PowerAction
    from llm_watchdog.actions.restart import RestartAction
    from llm_watchdog.clock import Clock
    from llm_watchdog.core.case import FlushOrder, Order
    from llm_watchdog.core.findings import Verdict
    from llm_watchdog.core.situation import Identity
    from llm_watchdog.crash_points import CrashPoints
    from llm_watchdog.journal import Journal
    from llm_watchdog.probes.seam import Looking
    from llm_watchdog.recorder.seam import Recorder
    from llm_watchdog.settings import PolicySource, Surroundings

TICK_SECONDS: Final = 0.5
"""Deadlines pass without an event, so the situation is looked at this often anyway."""
APART_SECONDS: Final = 0.05
"""Between two passes, however many events there are."""
PASSES_MAX: Final = 8
"""In a row, while each changes something."""

log = logging.getLogger(__name__)


class Loop:
    """Owns the replica's memory while the process lives."""

    def __init__(
        self,
        *,
        identity: Identity,
        replica: Replica,
        policy: PolicySource,
        place: Surroundings,
        watcher: Looking,
        recorder: Recorder,
        restart: RestartAction,
        flush: FlushAction,
        power: PowerAction,
        abort: AbortAction,
        journal: Journal,
        clock: Clock,
        crash_points: CrashPoints,
        jitter: timedelta,
        tell: Callable[[Replica, Replica], None],
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._identity = identity
        self._policy = policy
        self._stated = StatedModes(policy)
        self._place = place
        self._watcher = watcher
        self._recorder = recorder
        self._restart = restart
        self._flush = flush
        self._power = power
        self._abort = abort
        self._journal = journal
        self._clock = clock
        self._crash_points = crash_points
        self._jitter = jitter
        self._tell = tell
        self._beat = beat
        self.drain: Drain | None = None
        self.history = History(replica)
        self.replica = replica
        self.last: Pass | None = None
        self.verdict: Verdict | None = None
        """With all that was found, for people."""
        self._heeded: Verdict | None = None
        self.passed_at = clock.monotonic()
        """Of the last pass: how the loop's own progress is told."""
        self.lag_seconds = 0.0
        self.own_errors = 0

    async def run(self) -> None:
        """Until cancelled. A mistake costs one pass, not the watchdog."""
        while True:
            began = self._clock.monotonic()
            try:
                await self.settle()
            except Exception:
                self.own_errors += 1
                log.exception("a pass failed by its own fault")
            self.passed_at = self._clock.monotonic()
            self._beat()
            await self._until_something_happens()
            self.lag_seconds = max(0.0, self._clock.monotonic() - began - TICK_SECONDS)

    async def settle(self) -> None:
        """Passes until nothing changes any more."""
        for _ in range(PASSES_MAX):
            before = self.replica
            await self._pass()
            if self.replica == before:
                return

    async def _until_something_happens(self) -> None:
        await asyncio.sleep(APART_SECONDS)
        waits = [asyncio.ensure_future(event.wait()) for event in (self._watcher.changed, self._recorder.changed)]
        try:
            await asyncio.wait(waits, timeout=TICK_SECONDS - APART_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            self._watcher.changed.clear()
            self._recorder.changed.clear()

    async def _pass(self) -> None:
        if self._policy.refresh():
            self._watcher.use(self._policy.policy)
        view = self._recorder.view()
        situation = self._gather()
        known = resolve_taken(forget(self.replica, view.acknowledged), view.taken, situation)
        decided = decide(changed(known, modes=situation.modes, meter=self._watcher.window.meter), situation)
        verifying = Stage.VERIFYING in _stages(self.replica)
        if not await self._record(decided):
            return
        self._recorder.submit(decided.replica.cases, decided.rotation, decided.replica.precaution)
        if Stage.VERIFYING in _stages(decided.replica) and not verifying:
            self._watcher.confirm()
        self._act(decided)

    def _gather(self) -> Situation:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        view, policy = self._recorder.view(), self._policy.policy
        refused_at = self._watcher.window.refused_at
        self._watcher.note_exit(view.last_exit)
        self._watcher.note_reference(view.reference)
        self.verdict = self._heeded = self._watcher.verdict(monotonic)
        document = self._stated()
        modes = (view.modes or self.replica.modes or document).paused_also_by(document)
        if any(finding.fault in modes.ignored for finding in self.verdict.findings):
            self._heeded = self._watcher.heeded(monotonic, modes.ignored)
        ordered = next((case.order for case in self.replica.open_cases if case.order is not None), None)
        flushed = _flush_of(self.replica)
        powered = self.replica.power.order
        aborted = next((case.abort for case in self.replica.open_cases if case.abort is not None), None)
        return Situation(
            now=now,
            monotonic=monotonic,
            process_started_at=self._clock.started_at,
            identity=self._identity,
            verdict=self._heeded,
            policy=policy.watchdog,
            task=policy.engine.task,
            modes=modes,
            engine=self.engine,
            container=view.container,
            refused_at=None if refused_at is None else now + timedelta(seconds=refused_at - monotonic),
            traffic=Traffic(in_flight=self._watcher.in_flight(monotonic), moving=self._watcher.moving(monotonic)),
            views=view.incidents,
            gate=view.gate,
            api_unreachable_since=view.unreachable_since,
            restart_method=self._place.restart_method,
            last_restart_at=self.replica.last_restart_at,
            has_operator=view.has_operator,
            order=None if ordered is None else self._restart.answer(ordered),
            abortable=self._abort.abortable,
            abort=None if aborted is None else self._abort.answer(aborted),
            can_flush=self._flush.possible,
            flush=None if flushed is None else self._flush.answer(flushed),
            kept_tokens=self._watcher.window.cache.kept,
            power=view.power,
            can_sleep=self._power.possible,
            says_asleep=self._watcher.says_asleep,
            power_order=None if powered is None else self._power.answer(powered),
            jitter=self._jitter,
            journal_durable=self._journal.durable,
            unchecked=self._watcher.unchecked(monotonic),
            baseline=self._watcher.window.baseline,
            draining=self.drain is not None and self.drain.active,
            release=self._place.release,
        )

    async def _record(self, decided: Pass) -> bool:
        """Into the journal first. What could not be recorded is not begun, and is decided again next time."""
        if decided.replica == self.replica and not self._journal.durable:
            await asyncio.to_thread(self._journal.write, decided.replica)
        if decided.replica != self.replica:
            for stage in _stages(decided.replica):
                self._crash_points.reached(f"decided:{stage}")
            durable = await asyncio.to_thread(self._journal.write, decided.replica)
            if not durable and decided.orders_anything:
                log.error("nothing is begun: the journal cannot be written: %s", self._journal.last_error)
                return False
            self._tell(self.replica, decided.replica)
            self.history.note(decided.replica)
            for stage in _stages(decided.replica):
                self._crash_points.reached(f"journalled:{stage}")
        if self.last is None or self.last.rotation.reason is not decided.rotation.reason:
            log.info("rotation: %s, %s", decided.rotation.reason, decided.rotation.message)
        self.replica, self.last = decided.replica, decided
        self._watcher.note_rotation(in_rotation=decided.rotation.in_rotation)
        power = decided.replica.power
        self._watcher.note_power(asleep=power.ordered_asleep, ours=power.ours)
        return True

    def _act(self, decided: Pass) -> None:
        if decided.abort is not None:
            log.warning("abort of own requests ordered: %s", decided.abort.id)
            self._abort.carry_out(decided.abort)
        if decided.flush is not None:
            log.warning("flush ordered: %s", decided.flush.id)
            self._flush.carry_out(decided.flush)
        if decided.power is not None:
            log.info("power: %s is ordered, level %d", decided.power.id, decided.power.level)
            self._power.carry_out(decided.power)
        if decided.restart is not None:
            self._carry_out(decided.restart)
        elif Stage.ORDERED not in _stages(decided.replica):
            self._restart.withdraw()

    def _carry_out(self, order: Order) -> None:
        """An order that could not be handed over is found absent in the next pass, and is given anew then."""
        log.warning("restart ordered: %s by %s", order.id, order.method)
        with contextlib.suppress(OSError):
            self._restart.carry_out(order)

    @property
    def acknowledged(self) -> Mapping[str, int]:
        """Revisions that the API server holds."""
        return self._recorder.view().acknowledged

    @property
    def engine(self) -> EngineMark:
        """Which engine this is, by what can be read now."""
        return EngineMark(container_id=self._recorder.view().container_id, listener=self._watcher.listener)

    @property
    def in_flight(self) -> int | None:
        """Users' requests."""
        return self._watcher.in_flight(self._clock.monotonic())

    @property
    def condemned(self) -> bool:
        """A silent fault stands: nobody loses anything by the engine's end."""
        return self._heeded is not None and any(
            finding.silent and finding.incident for finding in self._heeded.findings
        )


def _flush_of(replica: Replica) -> FlushOrder | None:
    precaution = replica.precaution
    orders = [case.flush for case in replica.open_cases] + [precaution.flush if precaution else None]
    return next((order for order in orders if order is not None), None)


def _stages(replica: Replica) -> list[Stage]:
    return [case.stage for case in replica.cases]


def newest_time(replica: Replica) -> datetime | None:
    """The latest instant that the journal speaks of."""
    times = [case.incident.spec.detected_at for case in replica.cases]
    times += [step.finished_at or step.started_at for case in replica.cases for step in case.status.steps]
    times += [case.calm_since for case in replica.cases if case.calm_since is not None]
    times += [at for at in (replica.engine_since, replica.last_restart_at) if at is not None]
    return max(times, default=None)
