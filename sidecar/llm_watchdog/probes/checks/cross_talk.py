"""Whose words a stream carries: two with nonces, alone and then beside each other; and one after an abandoned one."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.check_prompts import DROP_AFTER_TOKENS, NONCE_GROUPS, CheckPrompt, echo
from llm_watchdog.core.check_rounds import Arm
from llm_watchdog.probes.checks.streams import Manner, together

if TYPE_CHECKING:
    from llm_watchdog.core.check_rounds import CheckAnswer
    from llm_watchdog.probes.checks.rounds import Round

NONCE_BYTES: Final = 3
"""Of a group, in hexadecimal digits: one in 16 million to come up by chance."""


def nonce() -> str:
    """Random groups, a different one each time."""
    return " ".join(secrets.token_hex(NONCE_BYTES) for _ in range(NONCE_GROUPS))


async def cross_talk(check: Round) -> tuple[CheckAnswer, ...]:
    """Each alone, so that what is wrong beside the other can only come from there."""
    asked = [(echo(name, words), words) for name, words in (("one", nonce()), ("other", nonce()))]
    alone = [await _say(check, prompt, words) for prompt, words in asked]
    (one, mine), (other, theirs) = asked
    beside = await together(
        check.ask(one, Manner(arm=Arm.BESIDE, nonce=mine, cold=True, must_come=False)),
        check.ask(other, Manner(arm=Arm.BESIDE, nonce=theirs, cold=True, must_come=False, heard=False)),
    )
    return (*alone, *beside)


async def stale(check: Round) -> tuple[CheckAnswer, ...]:
    """What was meant for a stream that nobody reads any more must not come out of the next one."""
    words = nonce()
    manner = Manner(arm=Arm.DROPPED, nonce=words, cold=True, drop_after=DROP_AFTER_TOKENS)
    dropped = await check.ask(echo("dropped", words), manner)
    return dropped, await _say(check, *_next())


def _next() -> tuple[CheckPrompt, str]:
    words = nonce()
    return echo("next", words), words


async def _say(check: Round, prompt: CheckPrompt, words: str) -> CheckAnswer:
    return await check.ask(prompt, Manner(nonce=words, cold=True))
