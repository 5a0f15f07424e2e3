"""The fingerprint: fixed prompts and the user's questions, one after the other, past the prefix cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_watchdog.core.check_prompts import FINGERPRINT, known
from llm_watchdog.probes.checks.streams import Manner

if TYPE_CHECKING:
    from llm_watchdog.core.check_rounds import CheckAnswer
    from llm_watchdog.probes.checks.rounds import Round


async def fingerprint(check: Round) -> tuple[CheckAnswer, ...]:
    """Cold, so that a corrupt cache is not taken for corrupt weights."""
    answers = [await check.ask(prompt, Manner(cold=True, logprobs=True)) for prompt in FINGERPRINT]
    answers += [
        await check.ask(known(question.prompt), Manner(cold=True, expected=question.answer))
        for question in check.known_answers
    ]
    return tuple(answers)
