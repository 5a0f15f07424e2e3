"""The small set of things that faults are made of, by the name that the catalogue calls them."""

from collections.abc import Callable
from typing import Final

from .death import Die, HealthStatus, Refuse
from .effect import Effect
from .length import BeyondLimit, CutShort, Endless, NoStop
from .mixing import Bleed, Rob, Swap
from .output import BrokenNumbers, Drift, Gibberish, Repeat
from .pace import CompileStall, LongAdmission, SlowHealth, SlowStart, SlowSteps
from .power import Enter, KeepCache, WakeError, WakeInName
from .slots import Gauges, GoOn, Leak
from .standstill import FreezeCore, FreezeServer, GarbledPath, SilentPath, Stall, Starve, Withhold
from .stream import (
    Comments,
    CutBody,
    EmptyEvents,
    ErrorInside,
    FinishAs,
    HeaderOnly,
    NoFinish,
    NoTerminator,
    NullBody,
    WrongUsage,
)

EFFECTS: Final[dict[str, Callable[..., Effect]]] = {
    "beyond-limit": BeyondLimit,
    "bleed": Bleed,
    "broken-numbers": BrokenNumbers,
    "comments": Comments,
    "compile-stall": CompileStall,
    "cut-body": CutBody,
    "cut-short": CutShort,
    "die": Die,
    "drift": Drift,
    "empty-events": EmptyEvents,
    "endless": Endless,
    "enter": Enter,
    "error-inside": ErrorInside,
    "finish-as": FinishAs,
    "freeze-core": FreezeCore,
    "freeze-server": FreezeServer,
    "garbled-path": GarbledPath,
    "gauges": Gauges,
    "gibberish": Gibberish,
    "go-on": GoOn,
    "header-only": HeaderOnly,
    "health-status": HealthStatus,
    "keep-cache": KeepCache,
    "leak": Leak,
    "long-admission": LongAdmission,
    "no-finish": NoFinish,
    "no-stop": NoStop,
    "no-terminator": NoTerminator,
    "null-body": NullBody,
    "refuse": Refuse,
    "repeat": Repeat,
    "rob": Rob,
    "silent-path": SilentPath,
    "slow-health": SlowHealth,
    "slow-start": SlowStart,
    "slow-steps": SlowSteps,
    "stall": Stall,
    "starve": Starve,
    "swap": Swap,
    "wake-error": WakeError,
    "wake-in-name": WakeInName,
    "withhold": Withhold,
    "wrong-usage": WrongUsage,
}
