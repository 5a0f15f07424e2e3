"""What happens to the engine in a case: its settings, its users, and who does what to it when."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import httpx

from benchmarks.detection.cases import Case, Story
from benchmarks.detection.simulation.users import HEADERS, Load
from e2e.fault_engine.limits import Limits
from e2e.fault_engine.model import ModelKind
from e2e.fault_engine.settings import Settings

if TYPE_CHECKING:
    from benchmarks.detection.rule import Container
    from benchmarks.detection.simulation.users import Users

ASLEEP_SECONDS: Final = 60.0
RARE_SECONDS: Final = 150.0
BURST: Final = 1280
"""Requests at once (ray#54070)."""
SLEEP_CALLS: Final = {
    "vllm": ("/sleep?level=1", "/wake_up"),
    "sglang": ("/release_memory_occupation", "/resume_memory_occupation"),
}
ORDERED_BEFORE_SECONDS: Final = 5.0
"""A fault of a wake is there before the sleep."""

_KINDS: Final = {
    "repeats-by-nature": ModelKind.TINY_RANDOM,
    "cannot-echo": ModelKind.BASE,
    "reasons-first": ModelKind.REASONING,
}
_NOISE: Final = {"noisy-numbers": 0.05}


def settings_of(case: Case) -> Settings:
    """The command line of the engine."""
    return Settings(
        host="127.0.0.1",
        port=8000,
        control_port=None,
        model="tiny",
        key=None,
        load_tracking=True,
        dev_mode=True,
        keep_alive_on_engine_death=False,
        limits=Limits(
            max_num_seqs=case.slots,
            token_seconds=case.token_seconds,
            prefill_token_seconds=case.prefill_token_seconds,
            noise=_NOISE.get(case.fault, 0.0),
        ),
        faults=(),
        dialect=case.dialect,
        model_kind=_KINDS.get(case.fault, ModelKind.ECHO),
        max_concurrent=case.slots,
    )


def load_of(case: Case) -> Load:
    """Of the whole run."""
    leaves = {Story.LEAVERS: 0.5, Story.LONG_LEAVERS: 1.0}.get(case.story, 0.0)
    return Load(
        users=case.users,
        pause_seconds=RARE_SECONDS if case.story is Story.RARE_USER else 2.0,
        leave_share=leaves,
        long_prompt_words=1500 if case.story in (Story.LONG_PROMPTS, Story.DOCUMENTS) else 0,
        long_prompt_every=2 if case.story is Story.DOCUMENTS else 10,
        max_tokens=2000 if case.story in (Story.LONG_ANSWERS, Story.LONG_LEAVERS) else 64,
    )


async def tell_story(case: Case, machine: Container, users: Users) -> None:
    """From the start of the container to the end of the run."""
    await asyncio.sleep(case.startup_seconds + case.onset)
    match case.story:
        case Story.WAKE:
            await _sleep_and_wake(case, machine)
        case Story.LOADS_AGAIN:
            machine.load_again(case.entry.name, case.argument)
        case Story.BURST:
            await users.burst(BURST)
        case Story.NEW_SHAPE:
            machine.order(case.fault, case.argument, case.incidence)
            await users.ask_anew()
        case _ if case.entry.effects:
            machine.order(case.fault, case.argument, case.incidence)
    await asyncio.Event().wait()


async def _sleep_and_wake(case: Case, machine: Container) -> None:
    machine.order(case.fault, case.argument, case.incidence)
    await asyncio.sleep(ORDERED_BEFORE_SECONDS)
    down, up = SLEEP_CALLS[case.dialect]
    await _call(machine, down)
    await asyncio.sleep(ASLEEP_SECONDS)
    machine.woken_at = asyncio.get_running_loop().time()
    await _call(machine, up)


async def _call(machine: Container, path: str) -> None:
    """By somebody else."""
    with suppress(OSError, httpx.HTTPError):
        connection = await machine.network.open("POST", path, HEADERS, json.dumps({}).encode(), own=False)
        try:
            await machine.network.next(connection)
        finally:
            machine.network.close(connection)
