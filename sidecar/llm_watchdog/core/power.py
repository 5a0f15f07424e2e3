"""Sleep and wake as the worker wishes: out of rotation, drain, sleep, confirm; wake, and prove it before it serves.

Level-triggered as everything here: the wish and the engine are looked at in each pass. The wake gate is that of any
wake: no canary and no check from before the sleep counts after it (`core.rotation`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import StepOutcome
from llm_watchdog.core.case import EngineMark, Stage, same_engine
from llm_watchdog.core.precaution import Precaution
from llm_watchdog.core.records import changed
from llm_watchdog.core.remediation_flush import unserved
from llm_watchdog.core.situation import OrderState, PowerWish

if TYPE_CHECKING:
    from llm_watchdog.core.replica import Replica
    from llm_watchdog.core.situation import Situation

CONFIRMED_WITHIN: Final = timedelta(seconds=10)
"""Five polls of an engine that tells: after that its 200 was not the truth."""
SETTLED_AFTER: Final = timedelta(seconds=5)
"""From the gate's closing until the nodes' proxies surely know it. A request that comes later would wait in the
sleeping engine, and be answered in the moment of the wake, before anything is proven."""
RETRY_AFTER: Final = timedelta(seconds=60)
"""After a call that failed, and after somebody else woke what is to sleep."""


class PowerStage(StrEnum):
    """Where it stands. Every one can be resumed after a crash."""

    AWAKE = "Awake"
    LEAVING = "Leaving"
    """Out of rotation, until nobody is served."""
    FALLING_ASLEEP = "FallingAsleep"
    ASLEEP = "Asleep"
    WAKING = "Waking"
    PROVING = "Proving"
    """Awake, and not in rotation until a canary and the checks have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOrder:
    """One sequence of calls. Not given again where the engine does not tell what became of it."""

    id: str
    at: datetime
    asleep: bool
    level: int
    released: bool = False
    """It was put to sleep by an order that is known to have been carried out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Of this replica."""

    wish: PowerWish = field(default_factory=PowerWish)
    """As last read from the worker."""
    stage: PowerStage = PowerStage.AWAKE
    since: datetime | None = None
    level: int = 1
    """At which it sleeps."""
    engine: EngineMark | None = None
    """The one that was put to sleep: a new process is awake."""
    order: PowerOrder | None = None
    sure: bool = False
    """Its sleep was answered for."""
    not_before: datetime | None = None
    """Nothing is ordered earlier."""
    message: str = ""

    @property
    def holds(self) -> bool:
        """It is on its way to sleep, asleep, or on its way back."""
        return self.wish.asleep or self.stage is not PowerStage.AWAKE

    @property
    def ours(self) -> bool:
        """Whether it sleeps is known although it may not tell: nobody but us puts it to sleep. So until it has proved
        itself after a sleep of ours, whatever the worker says by then.
        """
        return self.wish.ours or self.stage is PowerStage.PROVING

    @property
    def ordered_asleep(self) -> bool:
        """The engine may be asleep by our order, and is asked for nothing."""
        return self.stage in (PowerStage.FALLING_ASLEEP, PowerStage.ASLEEP, PowerStage.WAKING)


def take_power(replica: Replica, situation: Situation) -> tuple[Replica, PowerOrder | None]:
    """One look. The order, if there is one, is carried out once the replica is in the journal."""
    power = replica.power
    if situation.power is not None and situation.power != power.wish:
        power = replace(power, wish=situation.power)
    if power.ordered_asleep and _is_another(power, situation):
        power = _at(power, PowerStage.AWAKE, situation, "another engine process runs, and is awake")
    if power.order is not None:
        return _answered(changed(replica, power=power), situation), None
    match power.stage:
        case PowerStage.AWAKE | PowerStage.LEAVING:
            power, order = _towards_sleep(replica, power, situation)
        case PowerStage.PROVING:
            power, order = _proving(replica, power, situation), None
        case _:
            power, order = _asleep(power, situation)
    return changed(replica, power=power), order


def _is_another(power: Power, situation: Situation) -> bool:
    return power.engine is not None and same_engine(power.engine, situation.engine) is False


def _towards_sleep(replica: Replica, power: Power, situation: Situation) -> tuple[Power, PowerOrder | None]:
    if not power.wish.asleep:
        awake = power.stage is PowerStage.AWAKE
        return (power, None) if awake else (_at(power, PowerStage.AWAKE, situation, "to stay awake after all"), None)
    if not situation.can_sleep:
        return replace(power, message="this kind of engine cannot be put to sleep"), None
    if situation.says_asleep:
        found = _at(power, PowerStage.ASLEEP, situation, "it slept already")
        return replace(found, level=power.wish.level, engine=situation.engine), None
    if power.stage is PowerStage.AWAKE:
        return _at(power, PowerStage.LEAVING, situation, "out of rotation, then asleep"), None
    why_not = _why_not_yet(replica, power, situation)
    if why_not:
        return replace(power, message=why_not), None
    name, level = _id("sleep", situation), power.wish.level
    return _order(power, situation, PowerOrder(id=name, at=situation.now, asleep=True, level=level))


def _why_not_yet(replica: Replica, power: Power, situation: Situation) -> str:
    if not replica.cleared:
        return "waits until it has proved that it generates: what wakes wrong shall have slept well"
    if any(case.stage is not Stage.WATCHING for case in replica.open_cases):
        return f"waits until the incident {replica.open_cases[0].name} is over"
    if power.not_before is not None and situation.now < power.not_before:
        return power.message
    ended = unserved(situation, since=power.since or situation.now)
    if ended is None:
        return "waits until nobody is served"
    gate = situation.gate
    if gate is not None and not gate.in_rotation and situation.now - gate.since < SETTLED_AFTER:
        return "waits until nobody is sent here any more"
    outcome, why = ended
    # What is still served after the whole drain time-out is cut, as a restart would cut it.
    return "" if outcome in (StepOutcome.SUCCEEDED, StepOutcome.TIMED_OUT) else why


def _proving(replica: Replica, power: Power, situation: Situation) -> Power:
    if power.wish.asleep:
        return _at(power, PowerStage.LEAVING, situation, "to sleep again")
    return _at(power, PowerStage.AWAKE, situation, "awake, and proved") if replica.cleared else power


def _asleep(power: Power, situation: Situation) -> tuple[Power, PowerOrder | None]:
    waits = power.not_before is not None and situation.now < power.not_before
    if not power.wish.asleep:
        if waits:
            return power, None
        name = _id("wake", situation)
        order = PowerOrder(id=name, at=situation.now, asleep=False, level=power.level, released=power.sure)
        return _order(power, situation, order)
    since = power.since or situation.now
    if situation.says_asleep is not False or situation.now - since < CONFIRMED_WITHIN:
        return power, None
    back = _at(power, PowerStage.LEAVING, situation, "it says that it is awake: somebody woke it, or it did not sleep")
    return replace(back, not_before=situation.now + RETRY_AFTER), None


def _order(power: Power, situation: Situation, order: PowerOrder) -> tuple[Power, PowerOrder]:
    stage = PowerStage.FALLING_ASLEEP if order.asleep else PowerStage.WAKING
    begun = _at(power, stage, situation, f"{order.id} is ordered, level {order.level}")
    return replace(begun, order=order, level=order.level, engine=situation.engine, sure=False, not_before=None), order


def _id(verb: str, situation: Situation) -> str:
    return f"{verb}-{int(situation.now.timestamp() * 1000)}"


def _answered(replica: Replica, situation: Situation) -> Replica:
    power, answer = replica.power, situation.power_order
    order = power.order
    if order is None or answer is None or answer.state is OrderState.PENDING:
        return replica
    done = answer.state is OrderState.HONOURED
    message = answer.message or "whether it was carried out is not known: the watchdog ended in the middle of it"
    if order.asleep:
        # Where it is not known whether it sleeps, it is asked for nothing, and not told again: it may say so itself,
        # and one that does not is woken only by a restart.
        sleeps = done or answer.state in (OrderState.ABSENT, OrderState.TIMED_OUT)
        stage = PowerStage.ASLEEP if sleeps else PowerStage.LEAVING
    else:
        stage = PowerStage.PROVING if done else PowerStage.WAKING
    after = replace(_at(power, stage, situation, message), order=None)
    failed = stage in (PowerStage.LEAVING, PowerStage.WAKING)
    not_before = situation.now + RETRY_AFTER if failed else None
    after = replace(after, not_before=not_before, sure=order.asleep and done)
    replica = changed(replica, power=after)
    if stage is not PowerStage.PROVING:
        return replica
    # What passed before the sleep says nothing about what it answers from here on. The wake has emptied the cache.
    flushed = Precaution(since=situation.now, outcome=StepOutcome.SUCCEEDED, message="emptied as a part of the wake")
    return changed(replica, cleared=False, waking=True, engine_since=situation.now, precaution=flushed)


def _at(power: Power, stage: PowerStage, situation: Situation, message: str) -> Power:
    return replace(power, stage=stage, since=situation.now, order=None, message=message)
