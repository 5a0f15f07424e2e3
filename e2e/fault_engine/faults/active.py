"""The faults in force, and what they add up to. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ..request import Output, Request, Said, Stats
from ..wire import HEALTHY, Wire
from . import FAULTS
from .effects.effect import Admission, Effect, Refusal
from .entry import Begins, Hits


@dataclass(frozen=True, slots=True)
class Order:
    """One fault as it was asked for; the serial tells a repeated order from the one still in force."""

    name: str
    argument: str | None
    serial: int
    incidence: float | None = None
    """Instead of the catalogue's."""

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "arg": self.argument, "serial": self.serial, "incidence": self.incidence}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Order":
        return cls(document["name"], document["arg"], document["serial"], document["incidence"])


@dataclass(slots=True)
class _Ordered:
    """An order, and how much of what it waits for has happened."""

    order: Order
    begins: Begins
    hits_which: Hits
    effects: tuple[Effect, ...]
    since: float
    requests: int = 0
    aborts: int = 0
    longest_prompt: int = 0
    waited_idle: bool = False
    woken: bool = False
    begun: float | None = None
    begun_after: int = 0  # requests
    chosen: list[str] = field(default_factory=list)

    def begin(self, now: float, requests: int) -> None:
        needs = self.begins
        met = (
            self.requests > needs.after_requests or not needs.after_requests,
            now - self.since >= needs.after_seconds,
            self.waited_idle or not needs.after_idle_seconds,
            self.woken or not needs.after_wake,
            self.aborts >= needs.after_aborts,
            self.longest_prompt >= needs.after_prompt_tokens,
        )
        if self.begun is None and all(met):
            self.begun, self.begun_after = now, requests

    def hits(self, request: Request) -> bool:
        hits = self.hits_which
        if self.begun is None or request.beside < hits.beside or not self._hits_cached(request):
            return False
        incidence = hits.incidence / hits.one_in if self.order.incidence is None else self.order.incidence
        if incidence < 1 and _luck(self.order.serial, request.id) >= incidence:
            return False
        return not hits.first or self._is_one_of_the_first(request, hits.first)

    def _hits_cached(self, request: Request) -> bool:
        match self.hits_which.cached:
            case "before":
                return request.cached > 0 and request.origin <= self.begun_after
            case "any":
                return request.cached > 0
            case _:
                return True

    def _is_one_of_the_first(self, request: Request, count: int) -> bool:
        if request.id not in self.chosen and len(self.chosen) < count:
            self.chosen.append(request.id)
        return request.id in self.chosen


def _luck(serial: int, request_id: str) -> float:
    """Between 0 and 1, the same in both processes."""
    digest = blake2b(f"{serial} {request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / (1 << 64)


class ActiveFaults:
    def __init__(self) -> None:
        self._ordered: list[_Ordered] = []
        self._requests = 0
        self._last_request: float | None = None

    def replace(self, orders: Sequence[Order], now: float) -> bool:
        """Faults that are ordered already keep their state and their start; True when one was lifted."""
        kept = {ordered.order.serial: ordered for ordered in self._ordered}
        self._ordered = [kept.get(order.serial) or self._new(order, now) for order in orders]
        self.tick(now)
        return not kept.keys() <= {order.serial for order in orders}

    def _new(self, order: Order, now: float) -> _Ordered:
        entry = FAULTS[order.name]
        begins, hits = entry.beginning(order.argument), entry.hitting(order.argument)
        return _Ordered(order, begins, hits, entry.make(order.argument), now)

    # what happens

    def tick(self, now: float) -> None:
        for ordered in self._ordered:
            ordered.begin(now, self._requests)

    def notice_request(self, prompt_tokens: int, now: float) -> int:
        """Returns how many there were."""
        idle = 0.0 if self._last_request is None else now - self._last_request
        self._requests += 1
        self._last_request = now
        for ordered in self._ordered:
            ordered.requests += 1
            ordered.longest_prompt = max(ordered.longest_prompt, prompt_tokens)
            needed = ordered.begins.after_idle_seconds
            ordered.waited_idle = ordered.waited_idle or (needed > 0 and idle >= needed)
        self.tick(now)
        return self._requests

    def notice_end(self, now: float) -> None:
        """Idleness is counted from the end of the last request."""
        self._last_request = now

    def notice_abort(self, now: float) -> None:
        for ordered in self._ordered:
            ordered.aborts += 1
        self.tick(now)

    def notice_wake(self, now: float) -> None:
        for ordered in self._ordered:
            ordered.woken = True
        self.tick(now)

    def begun_at(self, name: str) -> float | None:
        """When a fault that was ordered came into force; None: it has not yet."""
        return next((ordered.begun for ordered in self._ordered if ordered.order.name == name), None)

    # what they add up to

    # Asked several times for each token, and mostly nothing is ordered.

    def _all(self) -> Iterable[Effect]:
        return self._in_force() if self._ordered else ()

    def _hitting(self, request: Request) -> Iterable[Effect]:
        return self._in_force_for(request) if self._ordered else ()

    def _in_force(self) -> Iterator[Effect]:
        for ordered in self._ordered:
            if ordered.begun is not None:
                yield from ordered.effects

    def _in_force_for(self, request: Request) -> Iterator[Effect]:
        for ordered in self._ordered:
            if ordered.hits(request):
                yield from ordered.effects

    def freeze_core(self) -> bool:
        return any(effect.freezes_core() for effect in self._all())

    def admit(self, request: Request, running: int) -> bool:
        return not self._ordered or all(effect.admits(request, running) for effect in self._hitting(request))

    def emit(self, request: Request, newest: str) -> bool:
        return not self._ordered or all(effect.emits(request, newest) for effect in self._hitting(request))

    def step_seconds(self, healthy: float, admitted: Admission) -> float:
        seconds = healthy
        for effect in self._all():
            seconds = effect.step_seconds(seconds, admitted, self._requests)
        return seconds

    def startup_seconds(self) -> float:
        return sum(effect.startup_seconds() for effect in self._all())

    def death_at(self) -> float | None:
        delays = [
            (ordered.begun, effect.death_delay_seconds())
            for ordered in self._ordered
            if ordered.begun is not None
            for effect in ordered.effects
        ]
        return min((begun + delay for begun, delay in delays if delay is not None), default=None)

    def say(self, request: Request, said: Said) -> Said:
        for effect in self._hitting(request):
            said = effect.says(request, said)
        return said

    def end(self, request: Request, *, ended: bool) -> bool:
        for effect in self._hitting(request):
            ended = effect.ends(request, ended=ended)
        return ended

    def limit(self, request: Request) -> int:
        limit = request.max_tokens
        for effect in self._hitting(request):
            limit = effect.limit(request, limit)
        return limit

    def keep_slot(self, request: Request, how: str) -> bool:
        return any(effect.keeps_slot(request, how) for effect in self._hitting(request))

    def ignore_abort(self, request: Request) -> bool:
        return any(effect.ignores_abort(request) for effect in self._hitting(request))

    def mix(self, outputs: list[Output], requests: Iterable[Request]) -> list[Output]:
        """Asked once for each fault that hits one of them."""
        if not self._ordered:
            return outputs
        known = {request.id: request for request in requests}
        for ordered in self._ordered:
            hit = {output.id for output in outputs if output.id in known and ordered.hits(known[output.id])}
            if hit:
                mixed = [output for output in outputs if output.id in hit]
                for effect in ordered.effects:
                    mixed = effect.mixes(mixed)
                outputs = [*mixed, *(output for output in outputs if output.id not in hit)]
        return outputs

    def bleed(self, request: Request) -> int:
        return max((effect.bleeds() for effect in self._hitting(request)), default=0)

    def show(self, stats: Stats) -> Stats:
        for effect in self._all():
            stats = effect.shows(stats)
        return stats

    def keep_cache_in_sleep(self) -> bool:
        """Also where the fault begins with the wake: it is the sleep before it that counts."""
        return any(effect.keeps_cache_in_sleep() for ordered in self._ordered for effect in ordered.effects)

    def freeze_server(self) -> bool:
        return any(effect.freezes_server() for effect in self._all())

    def outlive_core(self) -> bool:
        return any(effect.outlives_core() for effect in self._all())

    def health_delay_seconds(self) -> float:
        return max((effect.health_delay_seconds() for effect in self._all()), default=0.0)

    def health_status(self) -> int | None:
        return next((status for effect in self._all() if (status := effect.health_status()) is not None), None)

    def silence(self, path: str) -> bool:
        return any(effect.silences(path) for effect in self._all())

    def garble(self, path: str) -> tuple[int, bytes] | None:
        return next((answer for effect in self._all() if (answer := effect.garbles(path)) is not None), None)

    def refusal(self, request: Request) -> Refusal | None:
        return next((no for effect in self._hitting(request) if (no := effect.refusal()) is not None), None)

    def keep_permit(self, request: Request, how: str) -> bool:
        return any(effect.keeps_permit(how) for effect in self._hitting(request))

    def wire(self, request: Request) -> Wire:
        wire = HEALTHY
        for effect in self._hitting(request):
            wire = effect.wire(wire)
        return wire

    def wake_status(self) -> int | None:
        return next((status for effect in self._all() if (status := effect.wake_status()) is not None), None)

    def wake_in_name_only(self) -> bool:
        return any(effect.wakes_in_name_only() for effect in self._all())

    def deny_sleep(self) -> bool:
        return any(
            effect.denies_sleep(woken=ordered.woken)
            for ordered in self._ordered
            if ordered.begun is not None
            for effect in ordered.effects
        )

    def entered_state(self) -> str | None:
        return next((state for effect in self._all() if (state := effect.state()) is not None), None)
