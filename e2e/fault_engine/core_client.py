"""What the API server makes of its EngineCore: starts it, sends requests, hands out tokens, sees its death."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .core_line import Connect, CoreLine, start_process
from .errors import EngineDeadError, bad_request
from .faults.active import Order
from .limits import Limits
from .meter import Meter
from .request import Output, Request, Said, Stats


@dataclass(slots=True)
class TokenStream:
    """The tokens of one request; what arrives while nobody looks is handed out together, as vLLM does."""

    request: Request
    arrived: float
    last_token: float | None = None
    cached: int = 0  # prompt tokens that came from the prefix cache
    tokens: int = 0
    _said: list[Said] = field(default_factory=list)
    _finish: str | None = None
    _dead: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self) -> tuple[list[Said], str | None]:
        """New tokens, and the finish reason with the last of them. Raises EngineDeadError."""
        await self._news.wait()
        self._news.clear()
        if self._dead:
            raise EngineDeadError
        taken, self._said = self._said, []
        return taken, self._finish

    def put(self, said: Sequence[Said], finish: str | None) -> None:
        self._said += said
        self.tokens += len(said)
        self._finish = finish
        self._news.set()

    def fail(self) -> None:
        self._dead = True
        self._news.set()


class CoreClient:
    def __init__(self, limits: Limits, meter: Meter, connect: Connect = start_process) -> None:
        self.dead = False
        self.holding = False  # asleep or paused: requests wait here, and no gauge shows them
        self.on_death: Callable[[], None] = lambda: None
        self._limits = limits
        self._meter = meter
        self._connect = connect
        self._line: CoreLine | None = None
        self.last_output = 0.0  # monotonic seconds
        self._streams: dict[str, TokenStream] = {}
        self._held: list[TokenStream] = []
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._serial = 0
        self._ready = asyncio.Event()

    @property
    def is_loaded(self) -> bool:
        return self._ready.is_set()

    @property
    def pid(self) -> int:
        assert self._line is not None
        return self._line.pid

    async def start(self) -> None:
        """The engine exists, and can be told of faults; it has not loaded yet."""
        self._line = await self._connect(self._limits, self._obey, self._bury)

    async def loaded(self) -> None:
        """Returns when the engine can generate, or died on the way."""
        await self._ready.wait()

    async def stop(self) -> None:
        if self._line is not None:
            await self._line.stop()

    def submit(self, request: Request) -> TokenStream:
        if self.dead:
            raise EngineDeadError
        if request.id in self._streams:
            raise bad_request(f"Request id {request.id} already running.")
        stream = TokenStream(request, arrived=time.monotonic())
        if self.holding:
            self._held.append(stream)
        else:
            self._admit(stream)
        return stream

    def abort(self, stream: TokenStream) -> None:
        """The client left: counted nowhere, as in vLLM."""
        self._drop(stream, finished=False)

    def _drop(self, stream: TokenStream, *, finished: bool) -> None:
        if stream in self._held:
            self._held.remove(stream)
        elif self._streams.pop(stream.request.id, None) is not None:
            self._send({"op": "end" if finished else "abort", "ids": [stream.request.id]})

    def end(self, stream: TokenStream) -> None:
        """The answer is complete although the engine would go on: a stop string was found."""
        self._drop(stream, finished=True)
        self._count_finished(stream, "stop")

    def abort_requests(self, ids: Sequence[str] | None) -> int:
        """Ends the streams of these ids (None: all) with the reason `abort`."""
        streams = [*self._streams.values(), *self._held]
        chosen = [stream for stream in streams if ids is None or stream.request.id in ids]
        for stream in chosen:
            self.abort(stream)
            stream.put([], "abort")
        return len(chosen)

    def release(self) -> None:
        """Requests held during sleep or pause go to the engine."""
        self.holding = False
        held, self._held = self._held, []
        for stream in held:
            self._admit(stream)

    def notice_wake(self) -> None:
        """For faults that begin with a wake."""
        self._send({"op": "woken"})

    async def call(self, method: str, **arguments: Any) -> Any:
        """Ask the engine between two steps. There is no time-out, as there is none in vLLM."""
        if self.dead:
            raise EngineDeadError
        self._serial += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[self._serial] = answer
        self._send({"op": "call", "serial": self._serial, "method": method, "arguments": arguments})
        return await answer

    def order_faults(self, orders: Sequence[Order]) -> None:
        self._send({"op": "faults", "orders": [order.as_json() for order in orders]})

    def _admit(self, stream: TokenStream) -> None:
        self._streams[stream.request.id] = stream
        self._send({"op": "add", "request": stream.request.as_json()})

    def _send(self, message: dict[str, Any]) -> None:
        if not self.dead and self._line is not None:
            self._line.send(message)

    def _obey(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "ready":
                self._ready.set()
            case "step":
                self._meter.show_step(Stats(*message["stats"]))
                now = time.monotonic()
                made = sum(self._hand_out(now, Output.from_json(output)) for output in message["outputs"])
                if made:
                    self.last_output = now
                    self._meter.count_step(made)
            case "result":
                answer = self._calls.pop(message["serial"])
                if not answer.done():
                    answer.set_result(message["value"])

    def _hand_out(self, now: float, output: Output) -> int:
        stream = self._streams.get(output.id)
        if stream is None:
            return 0  # aborted while the step ran
        stream.cached = output.cached
        if output.said:
            if stream.last_token is None:
                self._meter.count_first_token(now - stream.arrived, len(stream.request.prompt))
            self._meter.count_tokens(None if stream.last_token is None else now - stream.last_token)
            stream.last_token = now
        stream.put(output.said, output.finish)
        if output.finish:
            del self._streams[output.id]
            self._count_finished(stream, output.finish)
        return len(output.said)

    def _count_finished(self, stream: TokenStream, reason: str) -> None:
        self._meter.count_finished(reason, time.monotonic() - stream.arrived, len(stream.request.prompt), stream.tokens)

    def _bury(self) -> None:
        """Gauges stay as they are: nobody is left to push new ones."""
        self.dead = True
        self._ready.set()
        for stream in (*self._streams.values(), *self._held):
            stream.fail()
        self._streams.clear()
        self._held.clear()
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(EngineDeadError())
        self._calls.clear()
        self.on_death()
