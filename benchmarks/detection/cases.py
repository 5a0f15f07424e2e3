"""What is played: behaviours as data, and their expansion into cases, each drawn by a seed. Pure.

A behaviour is what a user or a probe meets, whatever its cause; its faults are entries of the fault engine's catalogue,
which cites the rows of the list of reports. Onset, load, speed of the engine and the fault's own numbers are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Final

from e2e.fault_engine.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from e2e.fault_engine.faults.entry import FaultEntry


class LoadName(StrEnum):
    IDLE = "idle"
    LIGHT = "light"
    BUSY = "busy"


class Story(StrEnum):
    """What happens beside it."""

    NOTHING = "nothing"
    WAKE = "wake"
    """Somebody puts the engine to sleep, and wakes it a minute later."""
    LEAVERS = "leavers"
    """Half of the users leave in the middle of their answers."""
    LONG_LEAVERS = "long-leavers"
    """All of them leave, and their answers were to be long ones."""
    LONG_PROMPTS = "long-prompts"
    DOCUMENTS = "documents"
    """Every other question brings a long document."""
    NEW_SHAPE = "new-shape"
    """Somebody asks with a prompt of a length that nobody had, and may not wait for the answer."""
    LONG_ANSWERS = "long-answers"
    BURST = "burst"
    LOADS_AGAIN = "loads-again"
    """Somebody restarts the engine, and the model loads for ten minutes."""
    FROM_START = "from-start"
    """The fault is there when the server comes up, before anybody is let in."""
    RARE_USER = "rare-user"
    """One user, who comes every few minutes."""
    OVERLOAD = "overload"
    """More users than slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    name: str
    says: str
    faults: tuple[str, ...]
    """`NAME`, `NAME=ARGUMENT` or `NAME=LOW..HIGH`, of which one is drawn."""
    loads: tuple[LoadName, ...] = tuple(LoadName)
    story: Story = Story.NOTHING
    seconds: float = 300.0
    """From the order of the fault to the end, at most."""
    unserved: bool = False
    """Nothing can be served meanwhile, though nothing is wrong: being out of rotation is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run, the same for every rule."""

    behaviour: str
    fault: str
    argument: str | None
    dialect: str
    load: LoadName
    story: Story
    seed: str
    onset: float
    """Seconds from the start until the fault is ordered."""
    seconds: float
    token_seconds: float
    prefill_token_seconds: float
    startup_seconds: float
    slots: int
    users: int
    incidence: float | None = None
    unserved: bool = False

    @property
    def entry(self) -> FaultEntry:
        """What the catalogue says."""
        return FAULTS[self.fault]

    @property
    def name(self) -> str:
        """Of the run."""
        argument = "" if self.argument is None else f"={self.argument}"
        share = "" if self.incidence is None else f"@{self.incidence:g}"
        return f"{self.behaviour}: {self.fault}{argument}{share} in {self.dialect}, {self.load}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Run:
    """A case with one rule beside it."""

    case: Case
    rule: str


LOADED: Final = (LoadName.LIGHT, LoadName.BUSY)
SILENT: Final = (LoadName.IDLE,)

SPEEDS: Final = {
    LoadName.IDLE: (0.01, 0.06),
    LoadName.LIGHT: (0.02, 0.08),
    LoadName.BUSY: (0.05, 0.12),
}
"""Seconds per token: from a small model alone to a large one in a full batch."""
PROVEN_SECONDS: Final = (90.0, 240.0)
"""From the start to the fault: the start-up checks are over."""


def expand(
    behaviours: Iterable[Behaviour], dialects: frozenset[str], seeds: Iterable[int], drawn: int
) -> Iterator[Case]:
    """Each behaviour in each dialect with each seed; `drawn` is the number that all luck comes from.

    The variants take turns, so that a few seeds show many of them.
    """
    for behaviour in behaviours:
        for place, dialect in enumerate(sorted(_dialects(behaviour) & dialects)):
            variants = [fault for fault in behaviour.faults if dialect in FAULTS[_name(fault)].dialects]
            for seed in seeds:
                yield draw(behaviour, variants[(place + seed) % len(variants)], dialect, f"{drawn}/{seed}")


def draw(behaviour: Behaviour, fault: str, dialect: str, seed: str) -> Case:
    """One case. The same words draw the same numbers."""
    name, _, argument = fault.partition("=")
    luck = Random(f"{seed}/{behaviour.name}/{name}/{dialect}")  # noqa: S311 - of a simulation
    load = luck.choice(behaviour.loads)
    slots = luck.choice((4, 8, 16))
    users = {LoadName.IDLE: 0, LoadName.LIGHT: luck.randint(1, 2), LoadName.BUSY: max(2, slots - 1)}[load]
    if behaviour.story is Story.OVERLOAD:
        users = 2 * slots
    if behaviour.story is Story.RARE_USER:
        users = 1
    onset = 0.0 if behaviour.story is Story.FROM_START else luck.uniform(*PROVEN_SECONDS)
    return Case(
        behaviour=behaviour.name,
        fault=name,
        argument=_argument(argument, luck),
        dialect=dialect,
        load=load,
        story=behaviour.story,
        seed=seed,
        onset=round(onset, 1),
        seconds=behaviour.seconds,
        token_seconds=round(luck.uniform(*SPEEDS[load]), 4),
        prefill_token_seconds=round(luck.uniform(0.0001, 0.0006), 5),
        startup_seconds=round(luck.uniform(5, 40), 1),
        slots=slots,
        users=users,
        unserved=behaviour.unserved,
    )


def _argument(text: str, luck: Random) -> str | None:
    low, dots, high = text.partition("..")
    if dots:
        return str(luck.randint(int(low), int(high)))
    return text or None


def _name(fault: str) -> str:
    return fault.partition("=")[0]


def _dialects(behaviour: Behaviour) -> frozenset[str]:
    return frozenset(dialect for fault in behaviour.faults for dialect in FAULTS[_name(fault)].dialects)


FREE: Final = "no fault"
FREE_HOURS: Final = 0.5
"""Of one run without a fault; loads change from run to run."""


def free_hours(hours: float, dialects: frozenset[str], drawn: int) -> Iterator[Case]:
    """Load without a fault, in all dialects in turn."""
    behaviour = Behaviour(name=FREE, says="users, and nothing wrong", faults=("busy",), seconds=FREE_HOURS * 3600)
    ordered = sorted(dialects)
    for number in range(round(hours / FREE_HOURS)):
        yield draw(behaviour, "busy", ordered[number % len(ordered)], f"{drawn}/free-{number}")


def sporadic(
    behaviours: Iterable[Behaviour], incidences: Iterable[float], seeds: Iterable[int], drawn: int
) -> Iterator[Case]:
    """A share of the requests is hit; in one dialect, as the share is what is asked about."""
    shares, numbers = list(incidences), list(seeds)
    for behaviour in behaviours:
        for share in shares:
            for seed in numbers:
                case = draw(behaviour, behaviour.faults[0], "vllm", f"{drawn}/{share:.4f}/{seed}")
                yield replace(case, incidence=share)
