"""What can happen to the exchanges of a program with the API server.

Nothing is drawn from a common stream of numbers: whether a request is hit depends on the seed, on what it is, and on
how many of its kind came before it, and so the same seed hits the same requests whatever the machine was busy with.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.operator.live.perturbed.calls import Call
from tests.operator.live.perturbed.relay import Answer, CutError, Perturbation, Undisturbed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.operator.live.perturbed.relay import Send

ONE_IN = 3
"""Of writes, and of the events of a watch."""
READS_ONE_IN = 8
"""A relist is many reads, and all of them have to succeed."""
LATE_SECONDS = 0.4


class Draw:
    def __init__(self, seed: int) -> None:
        self.hits: Counter[str] = Counter()
        self._seed = seed
        self._asked: Counter[str] = Counter()

    def hits_now(self, call: Call) -> bool:
        self._asked[call.kind] += 1
        one_in = ONE_IN if call.writes or call.watches else READS_ONE_IN
        hit = random.Random(f"{self._seed} {call.kind} {self._asked[call.kind]}").randrange(one_in) == 0  # noqa: S311
        self.hits[call.kind] += hit
        return hit


def every(_call: Call) -> bool:
    return True


def only_writes(call: Call) -> bool:
    return call.writes


@dataclass(frozen=True)
class Refused(Undisturbed):
    """An error instead of an answer; with `done`, although it was done."""

    draw: Draw
    status: int
    reason: str
    of: Callable[[Call], bool] = every
    done: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    async def exchange(self, call: Call, send: Send) -> Answer:
        if not self.of(call) or not self.draw.hits_now(call):
            return await send()
        if self.done:
            await send()
        document = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": self.status}
        told = json.dumps(document | {"reason": self.reason, "message": "as the test wants it"}).encode()
        headers = (("Content-Type", "application/json"), *self.headers)
        return Answer(status=self.status, body=told, headers=headers)


@dataclass(frozen=True)
class AnswerLost(Undisturbed):
    """Done, and the connection is cut before the answer."""

    draw: Draw

    async def exchange(self, call: Call, send: Send) -> Answer:
        answer = await send()
        if not call.watches and self.draw.hits_now(call):
            raise CutError
        return answer


@dataclass(frozen=True)
class StaleLists(Undisturbed):
    """A list as it was when it was asked for the first time."""

    draw: Draw
    first: dict[str, Answer] = field(default_factory=dict)

    async def exchange(self, call: Call, send: Send) -> Answer:
        if not call.lists:
            return await send()
        asked = f"{call.path} {sorted(call.query.items())}"
        if asked in self.first and self.draw.hits_now(call):
            return self.first[asked]
        answer = await send()
        self.first.setdefault(asked, answer)
        return answer


@dataclass(frozen=True)
class EventsLost(Undisturbed):
    draw: Draw

    async def events(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            if not self.draw.hits_now(call):
                yield line


@dataclass(frozen=True)
class EventsLate(Undisturbed):
    draw: Draw

    async def events(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            if self.draw.hits_now(call):
                await asyncio.sleep(LATE_SECONDS)
            yield line


@dataclass(frozen=True)
class EventsSwapped(Undisturbed):
    """One is held back until the next has been told. One after which there is no other is told with the end."""

    draw: Draw

    async def events(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        held = b""
        async for line in lines:
            if not held and self.draw.hits_now(call):
                held = line
                continue
            yield line
            if held:
                yield held
                held = b""
        if held:
            yield held


@dataclass(frozen=True)
class WatchesCut(Undisturbed):
    """In the middle of a line."""

    draw: Draw

    async def events(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            if self.draw.hits_now(call):
                yield line[: len(line) // 2]
                raise CutError
            yield line


@dataclass(frozen=True)
class WatchesExpired(Undisturbed):
    """410 as a watch tells it (kubernetes/kubernetes#25369): in a line of its own, after which the server ends it."""

    draw: Draw

    async def events(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            if self.draw.hits_now(call):
                status = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
                yield json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
                return
            yield line


@dataclass(frozen=True)
class OneOf(Undisturbed):
    """Each exchange meets one of them."""

    seed: int
    choices: Sequence[Perturbation]
    _met: Counter[str] = field(default_factory=Counter)

    def _choose(self, call: Call) -> Perturbation:
        self._met[call.kind] += 1
        return random.Random(f"{self.seed} which {call.kind} {self._met[call.kind]}").choice(self.choices)  # noqa: S311

    async def exchange(self, call: Call, send: Send) -> Answer:
        return await self._choose(call).exchange(call, send)

    def events(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return self._choose(call).events(call, lines)


PERTURBATIONS: dict[str, Callable[[Draw], Perturbation]] = {
    "events are lost": EventsLost,
    "events are late": EventsLate,
    "events change places": EventsSwapped,
    "watches are cut": WatchesCut,
    "watches expire": WatchesExpired,
    "lists are stale": StaleLists,
    "writes meet a conflict": lambda draw: Refused(draw, 409, "Conflict", only_writes),
    "too many requests": lambda draw: Refused(draw, 429, "TooManyRequests", headers=(("Retry-After", "1"),)),
    "the server fails": lambda draw: Refused(draw, 500, "InternalError"),
    "the server fails after it has written": lambda draw: Refused(draw, 500, "InternalError", only_writes, done=True),
    "answers are lost": AnswerLost,
    "tokens have expired": lambda draw: Refused(draw, 401, "Unauthorized"),
}


def everything(draw: Draw, seed: int) -> Perturbation:
    return OneOf(seed, [make(draw) for make in PERTURBATIONS.values()])
