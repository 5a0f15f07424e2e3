"""The process that makes the tokens: `python -m fault_engine.engine_core --title VLLM::EngineCore ...`.

Stopping or killing it is what stopping or killing vLLM's EngineCore is. It speaks JSON lines on an inherited socket
and reads them between steps only, as vLLM does: during a step it is deaf to all but fault orders.
"""

import argparse
import json
import os
import select
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .engine import Answer, Engine
from .faults.active import Order
from .limits import Limits
from .request import Request, Stats

if TYPE_CHECKING:
    from .scheduler import Step

TITLE: Final = "VLLM::EngineCore"
_READ_BYTES: Final = 1 << 20
_FAULT_EXIT: Final = 1


class EngineCore:
    def __init__(self, channel: socket.socket, limits: Limits) -> None:
        self._channel = channel
        self._engine = Engine(limits)
        self._started = time.monotonic()
        self._ready = False
        self._inbox: list[dict[str, Any]] = []
        self._partial = b""
        self._step: Step | None = None
        self._step_began = self._step_ends = 0.0
        self._told: Stats | None = None

    def run(self) -> None:
        """Until the API server hangs up."""
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        while True:
            pause = self._pause_seconds()
            if poller.poll(None if pause is None else pause * 1000) and not self._receive():
                return
            self._die_if_told()
            self._engine.faults.tick(time.monotonic())
            if not self._engine.faults.freeze_core():
                self._advance(time.monotonic())

    def _pause_seconds(self) -> float | None:
        """Until there is something to do without being told; None: for ever."""
        now = time.monotonic()
        due: list[float] = []
        death = self._engine.faults.death_at()
        if death is not None:
            due.append(death)
        if not self._engine.faults.freeze_core():
            if not self._ready:
                due.append(self._ready_at())
            elif self._step is not None:
                due.append(self._step_ends)
        return max(0.0, min(due) - now) if due else None

    def _ready_at(self) -> float:
        startup = self._engine.limits.startup_seconds + self._engine.faults.startup_seconds()
        return self._started + startup

    def _receive(self) -> bool:
        """Take what was sent; False when the API server is gone."""
        data = self._channel.recv(_READ_BYTES)
        if not data:
            return False
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message["op"] == "faults":
                self._order_faults([Order.from_json(order) for order in message["orders"]])
            else:
                self._inbox.append(message)
        return True

    def _order_faults(self, orders: list[Order]) -> None:
        lifted = self._engine.faults.replace(orders, time.monotonic())
        if lifted and self._step is not None:  # a slow step does not outlast the order to be slow
            self._step_ends = min(self._step_ends, self._step_began + self._engine.rest_seconds(self._step))

    def _die_if_told(self) -> None:
        death = self._engine.faults.death_at()
        if death is not None and time.monotonic() >= death:
            os._exit(_FAULT_EXIT)

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

    def _obey(self, message: dict[str, Any], now: float) -> None:
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

    def _send(self, message: dict[str, Any]) -> None:
        self._channel.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")


def name_process(name: str) -> None:
    """For `ps` and `pgrep`; the kernel keeps the first 15 characters."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine_core")
    parser.add_argument("--title", required=True, help="shows in the command line")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket")
    parser.add_argument("--limits", type=json.loads, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the API server decides
    name_process(arguments.title)
    channel = socket.socket(fileno=arguments.fd)
    with suppress(ConnectionError):  # the API server died first
        EngineCore(channel, Limits(**arguments.limits)).run()


if __name__ == "__main__":
    main()
