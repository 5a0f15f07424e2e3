"""What an effect can change: hooks that both processes ask. Pure; every default is what a healthy engine does."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...wire import Wire

if TYPE_CHECKING:
    from ...request import Output, Request, Said, Stats


@dataclass(frozen=True, slots=True)
class Admission:
    """Those who got their slots with a step."""

    requests: int = 0
    longest: int = 0
    """Tokens of the longest prompt among them."""
    unseen: bool = False
    """One of them has a prompt of a length that this process never computed."""


NOBODY: Final = Admission()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error instead of an answer."""

    status: int
    message: str
    plain: bool = False


class Effect:
    """One thing that a fault does. Hooks with a request are asked only for requests that the fault hits."""

    # asked by the EngineCore

    def freezes_core(self) -> bool:
        """The core goes on living, but neither steps nor reads what it is sent."""
        return False

    def admits(self, request: "Request", running: int) -> bool:
        """May a waiting request be given a slot?"""
        del request, running
        return True

    def emits(self, request: "Request", newest: str) -> bool:
        """May a running request get one more token? `newest`: id of the request that came last."""
        del request, newest
        return True

    def step_seconds(self, healthy: float, admitted: Admission, requests: int) -> float:
        """How long a step takes, and how many requests there were ever."""
        del admitted, requests
        return healthy

    def startup_seconds(self) -> float:
        """What is added to the time that the start takes."""
        return 0.0

    def death_delay_seconds(self) -> float | None:
        """The core exits so long after the fault began; None: it lives."""
        return None

    def says(self, request: "Request", said: "Said") -> "Said":
        """What is said instead of this."""
        del request
        return said

    def ends(self, request: "Request", *, ended: bool) -> bool:
        """Does the answer stop by itself here?"""
        del request
        return ended

    def limit(self, request: "Request", limit: int) -> int:
        """The tokens after which an answer is cut."""
        del request
        return limit

    def keeps_slot(self, request: "Request", how: str) -> bool:
        """Is the slot held after `finish` or `abort`?"""
        del request, how
        return False

    def mixes(self, outputs: "list[Output]") -> "list[Output]":
        """What concurrent requests are given instead of their own."""
        return outputs

    def bleeds(self) -> int:
        """So many tokens of an abandoned answer are given to the next request."""
        return 0

    def shows(self, stats: "Stats") -> "Stats":
        """What the gauges say instead."""
        return stats

    def keeps_cache_in_sleep(self) -> bool:
        """The prefix cache outlives its memory."""
        return False

    # asked by the API server

    def freezes_server(self) -> bool:
        """The API server's event loop stands still."""
        return False

    def outlives_core(self) -> bool:
        """The API server stays up after the core's death, as with VLLM_KEEP_ALIVE_ON_ENGINE_DEATH=1."""
        return False

    def health_delay_seconds(self) -> float:
        return 0.0

    def health_status(self) -> int | None:
        """The status of the health endpoint, whatever the engine does."""
        return None

    def silences(self, path: str) -> bool:
        """This endpoint takes a request and never answers."""
        del path
        return False

    def garbles(self, path: str) -> tuple[int, bytes] | None:
        """This endpoint answers with that status and body."""
        del path
        return None

    def refusal(self) -> Refusal | None:
        """With what a generation request is turned away at the door."""
        return None

    def keeps_permit(self, how: str) -> bool:
        """Is the web server's permit held after `finish`, `abort` or `error`?"""
        del how
        return False

    def ignores_abort(self, request: "Request") -> bool:
        """Is the answer generated to its end although the client has left?"""
        del request
        return False

    def wire(self, healthy: Wire) -> Wire:
        """How the answer is put on the wire."""
        return healthy

    def wake_status(self) -> int | None:
        """The status with which a wake is answered; nothing wakes then."""
        return None

    def wakes_in_name_only(self) -> bool:
        """A wake is answered with 200, and nothing wakes."""
        return False

    def denies_sleep(self, *, woken: bool) -> bool:
        """The state endpoints and the metrics say that it is awake, whatever it is. `woken`: somebody asked it to."""
        del woken
        return False

    def state(self) -> str | None:
        """`sleep` or `pause`: into which somebody else puts the engine when the fault begins."""
        return None
