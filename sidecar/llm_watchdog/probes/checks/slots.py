"""The slot ledger: K streams are opened and dropped, then K new ones must get their slots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import CanaryOutcome
from llm_watchdog.core.check_prompts import SLOTS_MAX, CheckPrompt
from llm_watchdog.core.check_rounds import Arm
from llm_watchdog.probes.checks.streams import Manner, together

if TYPE_CHECKING:
    from llm_watchdog.core.check_rounds import CheckAnswer
    from llm_watchdog.probes.checks.rounds import Round

SETTLE_SECONDS: Final = 1.0
"""After the drop: SGLang aborts in the background, 2 s after a disconnect, and a second demand follows anyway."""

_DROPPED: Final = CheckPrompt(name="dropped", text="one, two, three, four, five,", max_tokens=64)
_DEMANDED: Final = CheckPrompt(name="demanded", text="one, two, three, four, five,", max_tokens=1)


async def slots(check: Round) -> tuple[CheckAnswer, ...]:
    """Demanded twice at most; the streams of the last demand count."""
    count = min(check.slots or 0, SLOTS_MAX)
    dropped = await together(*(_ask(check, _DROPPED, Arm.DROPPED, place) for place in range(count)))
    demanded: tuple[CheckAnswer, ...] = ()
    for _ in range(2):
        await asyncio.sleep(SETTLE_SECONDS)
        demanded = await together(*(_ask(check, _DEMANDED, Arm.BESIDE, place) for place in range(count)))
        if all(answer.canary.outcome is CanaryOutcome.SUCCEEDED for answer in demanded):
            break
    return (*dropped, *demanded)


async def _ask(check: Round, prompt: CheckPrompt, arm: Arm, place: int) -> CheckAnswer:
    drop_after = 1 if arm is Arm.DROPPED else None
    manner = Manner(arm=arm, free_stop=False, drop_after=drop_after, heard=place == 0, must_come=arm is Arm.DROPPED)
    return await check.ask(prompt, manner)
