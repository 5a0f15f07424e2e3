"""One prompt on a hit of the prefix cache and on a miss. Counts only where the engine's own count proves both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_watchdog.core.check_prompts import CACHED
from llm_watchdog.core.check_rounds import Arm
from llm_watchdog.probes.checks.streams import Manner, NotMadeError

if TYPE_CHECKING:
    from llm_watchdog.core.check_rounds import CheckAnswer
    from llm_watchdog.probes.checks.rounds import Round


async def cache_pair(check: Round) -> tuple[CheckAnswer, ...]:
    """The cached arm first: what the last round, before a sleep perhaps, left in the cache must not be written anew."""
    found = await _cached(check)
    cold = await check.ask(CACHED, Manner(arm=Arm.COLD, cold=True, logprobs=True, free_stop=False, prove_hit=True))
    if cold.hit:
        raise NotMadeError("the engine takes the request that is to go around its cache for a hit (no cache_salt?)")
    if found.hit is None:
        raise NotMadeError("the engine does not tell whether its prefix cache was used")
    if found.hit:
        return found, cold
    hit = await _cached(check)
    if not hit.hit:
        raise NotMadeError("no hit in the prefix cache: it is off, or its blocks are larger than the prompt")
    return found, hit, cold


async def _cached(check: Round) -> CheckAnswer:
    return await check.ask(CACHED, Manner(arm=Arm.CACHED, logprobs=True, free_stop=False, prove_hit=True))
