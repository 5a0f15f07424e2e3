"""The EngineCore's turn of steps: what it hears, when it is due, and when it dies. Owns neither clock nor line.

It hears between two steps only, as vLLM does: during a step it is deaf to all but fault orders.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .engine import Answer, Engine
from .faults.active import Order
from .limits import Limits
from .request import Request, Stats

if TYPE_CHECKING:
    from .scheduler import Step

Message = dict[str, Any]


class CoreLoop:
    def __init__(self, limits: Limits, now: float, *, send: Callable[[Message], None], die: Callable[[], None]) -> None:
        self._engine = Engine(limits)
        self._send = send
        self._die = die
        self._started = now
        self._ready = False
        self._inbox: list[Message] = []
        self._step: Step | None = None
        self._step_began = self._step_ends = 0.0
        self._told: Stats | None = None

    def hear(self, message: Message, now: float) -> None:
        if message["op"] == "faults":
            self._order_faults([Order.from_json(order) for order in message["orders"]], now)
        else:
            self._inbox.append(message)

    def turn(self, now: float) -> None:
        """What is due by now."""
        death = self._engine.faults.death_at()
        if death is not None and now >= death:
            self._die()
            return
        self._engine.faults.tick(now)
        if not self._engine.faults.freeze_core():
            self._advance(now)

    def due_at(self) -> float | None:
        """When there is something to do without being told; None: never."""
        due: list[float] = []
        death = self._engine.faults.death_at()
        if death is not None:
            due.append(death)
        if not self._engine.faults.freeze_core():
            if not self._ready:
                due.append(self._ready_at())
            elif self._step is not None:
                due.append(self._step_ends)
        return min(due, default=None)

    def _ready_at(self) -> float:
        startup = self._engine.limits.startup_seconds + self._engine.faults.startup_seconds()
        return self._started + startup

    def _order_faults(self, orders: list[Order], now: float) -> None:
        lifted = self._engine.faults.replace(orders, now)
        if lifted and self._step is not None:  # a slow step does not outlast the order to be slow
            self._step_ends = min(self._step_ends, self._step_began + self._engine.rest_seconds(self._step))

    def _advance(self, now: float) -> None:
        if not self._ready:
            if now < self._ready_at():
                return
            self._ready = True
            self._send({"op": "ready"})
        if self._step is not None:
            if now < self._step_ends:
                return
            self._engine.finish(self._step)
            self._engine.notice_idle(now)
            self._tell()
        for message in self._inbox:
            self._obey(message, now)
        self._inbox.clear()
        self._step = self._engine.plan()
        if self._step is None:
            self._tell()
        else:
            self._step_began = now
            self._step_ends = now + self._engine.step_seconds(self._step)

    def _obey(self, message: Message, now: float) -> None:
        match message["op"]:
            case "add":
                self._engine.add(Request(**message["request"]), now)
            case "abort":
                self._engine.abort(message["ids"], now)
            case "end":
                self._engine.end(message["ids"])
            case "woken":
                self._engine.faults.notice_wake(now)
            case "call":
                self._answer(self._engine.call(message["serial"], message["method"], message["arguments"]))
            case unknown:
                raise ValueError(f"unknown message {unknown}")

    def _tell(self) -> None:
        """Outputs and gauges go out with the step that made them: a hang leaves the last ones standing."""
        stats = self._engine.stats()
        outputs = self._engine.take_outputs()
        if outputs or stats != self._told:
            self._told = stats
            outs = [output.as_json() for output in outputs]
            self._send({"op": "step", "outputs": outs, "stats": stats.as_json()})
        for answer in self._engine.due_answers():
            self._answer(answer)

    def _answer(self, answer: Answer | None) -> None:
        if answer is not None:
            self._send({"op": "result", "serial": answer.serial, "value": answer.value})
