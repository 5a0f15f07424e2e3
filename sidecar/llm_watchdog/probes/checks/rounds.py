"""Makes one round of one check, and turns how it ended into an observation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from llm_watchdog.api.policy import Policy
from llm_watchdog.core.check_rounds import CheckAnswer, CheckKind, CheckObservation
from llm_watchdog.engines.json_bodies import json_object
from llm_watchdog.probes.checks.cache_pair import cache_pair
from llm_watchdog.probes.checks.cross_talk import cross_talk, stale
from llm_watchdog.probes.checks.fingerprint import fingerprint
from llm_watchdog.probes.checks.slots import slots
from llm_watchdog.probes.checks.streams import TELL_NUMBERS, CutShortError, Manner, NotMadeError, Streams
from llm_watchdog.probes.questions import NothingToAskError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from llm_watchdog.api.thresholds import KnownAnswer
    from llm_watchdog.core.check_plan import Setting
    from llm_watchdog.core.check_prompts import CheckPrompt
    from llm_watchdog.engines.dialect import Dialect
    from llm_watchdog.probes.engine_client import EngineClient
    from llm_watchdog.probes.questions import Questions

VERSION_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a check needs to ask its questions."""

    streams: Streams
    policy: Policy
    slots: int | None

    @property
    def known_answers(self) -> list[KnownAnswer]:
        """The user's."""
        return self.policy.watchdog.detectors.degraded_output.known_answers

    async def ask(self, prompt: CheckPrompt, manner: Manner) -> CheckAnswer:
        """One stream. Raises CutShortError, NotMadeError and NothingToAskError."""
        return await self.streams.ask(self.policy.engine, self.policy.watchdog.canary, prompt, manner)


_CHECKS: Final[dict[CheckKind, Callable[[Round], Awaitable[tuple[CheckAnswer, ...]]]]] = {
    CheckKind.FINGERPRINT: fingerprint,
    CheckKind.CACHE_PAIR: cache_pair,
    CheckKind.CROSS_TALK: cross_talk,
    CheckKind.STALE: stale,
    CheckKind.SLOTS: slots,
}


class Rounds:
    """Lives as long as the watcher."""

    def __init__(
        self,
        streams: Streams,
        client: EngineClient,
        dialect: Dialect,
        questions: Questions,
        clock: Callable[[], float],
    ) -> None:
        self.streams = streams
        self._client = client
        self._dialect = dialect
        self._questions = questions
        self._clock = clock
        self._version: str | None = None

    async def make(self, kind: CheckKind, setting: Setting, policy: Policy, *, first: bool) -> CheckObservation:
        """One round. `first`: the engine may be another one than in the round before."""
        started_at, disturbed, why = self._clock(), False, ""
        answers: tuple[CheckAnswer, ...] = ()
        key = ""
        try:
            key = await self._key(policy, first=first)
            answers = await _CHECKS[kind](Round(streams=self.streams, policy=policy, slots=setting.slots))
        except CutShortError:
            disturbed = True
        except (NotMadeError, NothingToAskError) as error:
            why = str(error)
        return CheckObservation(
            at=self._clock(),
            started_at=started_at,
            kind=kind,
            answers=answers,
            disturbed=disturbed,
            not_applicable=why,
            key=key,
            raw=self._questions.shape not in self._dialect.templated,
            tells_numbers=policy.engine.type in TELL_NUMBERS,
        )

    async def _key(self, policy: Policy, *, first: bool) -> str:
        if first or self._version is None:
            self._version = await self._ask_version()
        model = await self._questions.served(policy.engine)
        return f"{policy.engine.type}|{self._version}|{model}|{self._questions.shape}"

    async def _ask_version(self) -> str:
        """Empty where there is no such endpoint; one that fails must not look like another version."""
        if self._dialect.version_path is None:
            return ""
        answer = await self._client.get(self._dialect.version_path, seconds=VERSION_SECONDS)
        if answer.is_ok:
            return str(json_object(answer.body).get(self._dialect.version_field, ""))
        if answer.status is not None and answer.status < httpx.codes.INTERNAL_SERVER_ERROR:
            return ""
        raise CutShortError(f"its version could not be read: {answer.kind} {answer.detail}")
