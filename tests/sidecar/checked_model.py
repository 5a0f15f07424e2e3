"""A made-up model server under active checks, on a made-up clock: what it answers when it is well, and when not."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from llm_watchdog.api.policy import EngineTarget, EngineType, WatchdogPolicy
from llm_watchdog.core import check_plan, check_prompts
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Content, Flaw
from llm_watchdog.core.check_prompts import CheckPrompt
from llm_watchdog.core.check_rounds import Arm, CheckAnswer, CheckKind, CheckObservation
from llm_watchdog.core.findings import Finding, Verdict
from llm_watchdog.core.intake import observe
from llm_watchdog.core.observations import AnswerKind as Kind
from llm_watchdog.core.observations import Beat, SocketSample, SocketsObservation, StateObservation
from llm_watchdog.core.verdict import judge
from llm_watchdog.core.window import Window

if TYPE_CHECKING:
    from llm_watchdog.api.thresholds import KnownAnswer

STEP = 0.5
TARGET = EngineTarget(type=EngineType.VLLM, model="tiny", concurrency=4)

Distort = Callable[["Said", CheckPrompt, Arm], "Said"]


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer, before it is a canary's observation."""

    ids: tuple[int, ...]
    logprobs: tuple[float | None, ...]
    words: str = ""
    """Stands for the text where it is no function of the ids."""
    finish: str | None = "length"
    outcome: CanaryOutcome = CanaryOutcome.SUCCEEDED
    flaw: Flaw | None = None
    http_status: int = 200


def shaken(seed: int | str) -> Random:
    return Random(seed)  # noqa: S311 - repeatable, not secret


def as_it_is(said: Said, _prompt: CheckPrompt, _arm: Arm) -> Said:
    return said


@dataclass(kw_only=True)
class Model:
    """Greedy, with a GPU's noise: log probabilities move by hundredths, and a near tie falls either way."""

    weights: int = 1
    vocabulary: int = 5000
    ties: float = 0.02
    """Share of positions at which two tokens are almost equally likely."""
    noise: Random = field(default_factory=lambda: shaken(7))
    echoes: bool = True
    stops: bool = True
    tells_ids: bool = True
    tells_logprobs: bool = True
    template: str = ""
    """A chat template's part of the prompt, today's date for example."""
    distort: Distort = as_it_is
    stale_words: str = ""

    def say(self, prompt: CheckPrompt, arm: Arm, nonce: str) -> Said:
        if nonce and self.echoes:
            groups = [token for group in nonce.split() for token in (zlib.crc32(group.encode()), 1)]
            return self.distort(
                Said(ids=tuple(groups), logprobs=self._shaken([-0.01] * 6), words=nonce, finish="stop"), prompt, arm
            )
        return self.distort(self._generate(prompt), prompt, arm)

    def _generate(self, prompt: CheckPrompt) -> Said:
        ids: list[int] = []
        logprobs: list[float] = []
        ends = self.stops and prompt.name == "stop"
        for _ in range(4 if ends else prompt.max_tokens):
            draw = zlib.crc32(f"{self.weights}|{self.template}|{prompt.text}|{ids}".encode())
            tied = draw % 10000 < self.ties * 10000
            ids.append((draw + (tied and self.noise.random() < 0.5)) % self.vocabulary)
            # Of two tokens that are equally likely neither has more than half of the probability.
            logprobs.append((-0.7 if tied else -0.05) - draw % 100 / 200)
        return Said(ids=tuple(ids), logprobs=self._shaken(logprobs), finish="stop" if ends else "length")

    def _shaken(self, logprobs: Iterable[float]) -> tuple[float, ...]:
        return tuple(value + self.noise.uniform(-0.02, 0.02) for value in logprobs)


@dataclass
class Patient:
    """Looks as the watcher does, as far as checks go: beats, sockets, canaries, and whatever check is due."""

    model: Model = field(default_factory=Model)
    policy: WatchdogPolicy = field(default_factory=WatchdogPolicy)
    target: EngineTarget = TARGET
    window: Window = field(default_factory=Window)
    now: float = 0.0
    in_rotation: bool = False
    cold: bool = True
    hit_tokens: float | None = 192.0
    pair_is_safe: bool = True
    raw: bool = True
    version: str = "1"
    users: Callable[[float], bool] = lambda _now: False
    made: list[CheckKind] = field(default_factory=list)
    tokens: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    count: int = 0

    def setting(self) -> check_plan.Setting:
        return check_plan.Setting(
            target=self.target,
            policy=self.policy.checks,
            cold=self.cold,
            pair_is_safe=self.pair_is_safe,
            slots=self.target.concurrency,
            in_rotation=self.in_rotation,
        )

    def look(self, seconds: float) -> Patient:
        until = self.now + seconds
        while self.now < until:
            self._see(Beat(at=self.now))
            self._see(self._sockets())
            self._canary()
            kind = check_plan.due(self.window, self.setting(), self.now)
            if kind is not None:
                self.check(kind)
            if not check_plan.unchecked(self.window, self.setting(), self.now) and self.window.answered:
                self.in_rotation = True
            self.verdicts.append(judge(self.window, self.target, self.policy, self.now))
            self.now += STEP
        return self

    def _sockets(self) -> SocketsObservation:
        """A user's stream goes on and on while `users` says so."""
        acked = int(self.now * 1000)
        sample = SocketSample(peer="10.0.0.9:1:1", own=False, open=True, received=900, acked=acked)
        samples = (sample,) if self.users(self.now) else ()
        return SocketsObservation(at=self.now, readable=True, listeners=frozenset({7}), samples=samples)

    def check(self, kind: CheckKind) -> None:
        self.made.append(kind)
        beside = check_plan.is_beside(self.window, self.setting(), self.now)
        began, answers = self.now, self._answers(kind)
        self.now += STEP
        why = "" if kind is not CheckKind.CACHE_PAIR or self.hit_tokens else "no hit"
        self._see(
            CheckObservation(
                at=self.now,
                started_at=began,
                kind=kind,
                answers=answers,
                not_applicable=why,
                beside=beside,
                key=f"{self.target.type}|{self.version}",
                raw=self.raw,
                tells_numbers=self.target.type is EngineType.VLLM,
            )
        )

    def restart(self, model: Model | None = None) -> Patient:
        """Another process of the engine."""
        self.window = self.window.restarted("restarted")
        self.model = model or self.model
        self.in_rotation = False
        return self

    def sleep_and_wake(self, model: Model | None = None) -> Patient:
        for asleep in (True, False):
            self._see(StateObservation(at=self.now, kind=Kind.ANSWERED, asleep=asleep, paused=False))
            self.now += STEP
        self.model = model or self.model
        self.in_rotation = False
        return self

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.verdicts[-1].findings

    @property
    def reasons(self) -> list[str]:
        return [finding.reason.value for finding in self.findings]

    def ever(self) -> set[str]:
        return {finding.reason.value for verdict in self.verdicts for finding in verdict.findings}

    def _see(self, observation: Beat | SocketsObservation | StateObservation | CheckObservation) -> None:
        self.window = observe(self.window, observation)

    def _canary(self) -> None:
        ended = CanaryObservation(
            id=f"c{self.now}",
            shape="completions/4",
            started_at=self.now,
            outcome=CanaryOutcome.SUCCEEDED,
            first_token_at=self.now,
            last_token_at=self.now,
            finished_at=self.now,
            tokens=4,
            http_status=200,
        )
        self.window = observe(self.window, ended)

    def _answers(self, kind: CheckKind) -> tuple[CheckAnswer, ...]:
        match kind:
            case CheckKind.FINGERPRINT:
                prompts = [self._ask(prompt) for prompt in check_prompts.FINGERPRINT]
                return (*prompts, *(self._known(k) for k in self.policy.detectors.degraded_output.known_answers))
            case CheckKind.CACHE_PAIR:
                hit = self._ask(check_prompts.CACHED, Arm.CACHED)
                return replace(hit, hit_tokens=self.hit_tokens), self._ask(check_prompts.CACHED, Arm.COLD)
            case CheckKind.CROSS_TALK:
                return self._pair()
            case CheckKind.STALE:
                return self._echo("dropped", Arm.DROPPED), self._echo("next", Arm.ALONE)
            case CheckKind.SLOTS:
                demand = CheckPrompt(name="demanded", text="one,", max_tokens=1)
                arms = (Arm.DROPPED,) * 4 + (Arm.BESIDE,) * 4
                return tuple(self._ask(demand, arm) for arm in arms)

    def _pair(self) -> tuple[CheckAnswer, ...]:
        asked = [(name, self._nonce()) for name in ("one", "other")]
        return tuple(
            self._ask(check_prompts.echo(name, nonce), arm, nonce)
            for arm in (Arm.ALONE, Arm.BESIDE)
            for name, nonce in asked
        )

    def _echo(self, name: str, arm: Arm) -> CheckAnswer:
        nonce = self._nonce()
        return self._ask(check_prompts.echo(name, nonce), arm, nonce)

    def _nonce(self) -> str:
        self.count += 1
        return " ".join(f"{zlib.crc32(f'{self.count}-{group}'.encode()) % 0x1000000:06x}" for group in range(3))

    def _known(self, question: KnownAnswer) -> CheckAnswer:
        return replace(self._ask(check_prompts.known(question.prompt)), expected=question.answer)

    def _ask(self, prompt: CheckPrompt, arm: Arm = Arm.ALONE, nonce: str = "") -> CheckAnswer:
        said = self.model.say(prompt, arm, nonce)
        self.count += 1
        self.tokens += len(said.ids)
        content = Content(
            text=said.words or " ".join(f"w{token}" for token in said.ids),
            token_ids=said.ids if self.model.tells_ids else (),
            logprobs=said.logprobs if self.model.tells_logprobs else (),
        )
        canary = CanaryObservation(
            id=f"k{self.count}",
            shape="completions/check",
            started_at=self.now,
            outcome=said.outcome,
            finished_at=self.now + STEP,
            tokens=len(said.ids),
            http_status=said.http_status,
            finish=said.finish,
            max_tokens=prompt.max_tokens,
            flaw=said.flaw,
            content=content,
        )
        return CheckAnswer(prompt=prompt.name, arm=arm, nonce=nonce, canary=canary)
