"""The EngineCore's state machine: scheduler, pause and sleep. Pure; the process around it owns clock and socket."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from .faults.active import ActiveFaults
from .faults.effects.effect import NOBODY
from .limits import Limits
from .request import Output, Request, Stats
from .scheduler import Scheduler, Step

_MEMORY_TAGS: Final = frozenset({"weights", "kv_cache"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call returns to the API server."""

    serial: int
    value: Any


@dataclass(slots=True)
class Engine:
    limits: Limits
    faults: ActiveFaults = field(default_factory=ActiveFaults)
    scheduler: Scheduler = field(init=False)
    paused: bool = False
    frozen_requests: bool = False  # paused with mode=keep
    released: set[str] = field(default_factory=set)  # memory given up by sleep
    outputs: list[Output] = field(default_factory=list)
    _until_idle: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.limits, Random(self.limits.seed))  # noqa: S311

    def add(self, request: Request, now: float) -> None:
        request.number = self.faults.notice_request(len(request.prompt), now)
        self.scheduler.add(request)

    def abort(self, ids: Sequence[str], now: float) -> None:
        self.faults.notice_abort(now)
        self.scheduler.abort(ids, self.faults)

    def end(self, ids: Sequence[str]) -> None:
        """These are complete although the scheduler would go on."""
        self.scheduler.end(ids, self.faults)

    def plan(self) -> Step | None:
        return None if self.frozen_requests else self.scheduler.plan(self.faults)

    def step_seconds(self, step: Step) -> float:
        return self.faults.step_seconds(step.healthy_seconds(self.limits), step.admission)

    def rest_seconds(self, step: Step) -> float:
        """The same for a step that runs already: what happens once, at its beginning, is not asked again."""
        return self.faults.step_seconds(step.healthy_seconds(self.limits), NOBODY)

    def finish(self, step: Step) -> None:
        self.outputs += self.scheduler.finish(step, self.faults)

    def notice_idle(self, now: float) -> None:
        if not self.scheduler.busy:
            self.faults.notice_end(now)

    def take_outputs(self) -> list[Output]:
        taken, self.outputs = self.outputs, []
        return taken

    def due_answers(self) -> list[Answer]:
        """Calls that waited until nothing runs."""
        if self.scheduler.busy or not self._until_idle:
            return []
        due, self._until_idle = self._until_idle, []
        return due

    def stats(self) -> Stats:
        return self.faults.show(self.scheduler.stats())

    def call(self, serial: int, method: str, arguments: Mapping[str, Any]) -> Answer | None:
        """Carry out one of the control calls; None if its answer comes later."""
        calls: dict[str, Callable[..., Any]] = {
            "is_sleeping": lambda: not self.faults.deny_sleep() and (self.paused or bool(self.released)),
            "is_paused": lambda: not self.faults.deny_sleep() and self.paused,
            "slots": self.scheduler.slots,
            "stats": lambda: self.stats().as_json(),
            "pause": self._pause,
            "resume": self._resume,
            "sleep": self._sleep,
            "wake_up": self._wake_up,
            "reset_prefix_cache": self.scheduler.reset_cache,
        }
        answer = Answer(serial, calls[method](**arguments))
        if arguments.get("mode") == "wait" and self.scheduler.busy:
            self._until_idle.append(answer)
            return None
        return answer

    def _pause(self, mode: str) -> None:
        self.paused = True
        if mode == "keep":
            self.frozen_requests = True
        elif mode == "abort":
            self.outputs += self.scheduler.abort_all()
            if not self.faults.keep_cache_in_sleep():
                self.scheduler.reset_cache()

    def _resume(self) -> None:
        self.paused = self.frozen_requests = False

    def _sleep(self, level: int, mode: str) -> None:
        self._pause(mode)
        if level > 0:
            self.released = set(_MEMORY_TAGS)
            if not self.faults.keep_cache_in_sleep():
                self.scheduler.reset_cache()

    def _wake_up(self, tags: list[str] | None) -> bool:
        """True when all of the memory is back, and with it the scheduler."""
        self.released -= _MEMORY_TAGS if tags is None else set(tags)
        if not self.released:
            self._resume()
        return not self.released
