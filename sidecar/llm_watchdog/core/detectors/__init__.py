"""Detectors: one pure function and one file per fault class, in the order in which their findings are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.core.detectors.cross_talk import cross_talk
from llm_watchdog.core.detectors.degraded_output import degraded_output
from llm_watchdog.core.detectors.engine_dead import engine_dead
from llm_watchdog.core.detectors.incomplete_stream import incomplete_stream
from llm_watchdog.core.detectors.leaked_concurrency import leaked_concurrency
from llm_watchdog.core.detectors.runaway_generation import runaway_generation
from llm_watchdog.core.detectors.stalled_stream import stalled_stream
from llm_watchdog.core.detectors.wake_failed import wake_failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.thresholds import DetectorsPolicy
    from llm_watchdog.core.findings import Finding
    from llm_watchdog.core.window import Window

    Detector = Callable[[Window, EngineTarget, DetectorsPolicy, float], Finding | None]

DETECTORS: Final[tuple[Detector, ...]] = (
    engine_dead,  # answers, with errors
    wake_failed,  # says that it is awake, or that it sleeps for too long
    stalled_stream,  # does not answer
    cross_talk,  # answers with another's words
    leaked_concurrency,  # holds slots for nobody
    degraded_output,  # answers with what this model does not say
    runaway_generation,  # does not stop, generates for nobody, or for one while others starve
    incomplete_stream,  # answers, and does not end as it should
)
