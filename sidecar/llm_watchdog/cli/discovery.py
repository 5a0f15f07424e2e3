"""Asks a server what it is: its dialect by its own answers, and the models that it serves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import EngineTarget, EngineType
from llm_watchdog.core.observations import AnswerKind
from llm_watchdog.engines.recognition import RECOGNITION_CALLS, recognise
from llm_watchdog.engines.registry import dialect_of

if TYPE_CHECKING:
    from llm_watchdog.engines.dialect import Call
    from llm_watchdog.probes.engine_client import Answer, EngineClient

ASK_SECONDS: Final = 3.0
"""SGLang answers its health endpoint in 1.03 s by construction; a busy server takes longer."""
MODELS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the server says. `why` tells why nothing more is known."""

    up: bool
    engine: EngineType | None = None
    models: tuple[str, ...] = ()
    why: str = ""
    partial: bool = False
    """Some calls were not answered in time, so that another dialect may be meant."""

    def lacks(self, model: str | None) -> str:
        """That the model is not served, and what is; empty where it is, or where the server lists nothing."""
        if model is None or not self.models or model in self.models or f"{model}:latest" in self.models:
            return ""
        return f"the model {model!r} is not served; the server lists {', '.join(self.models[:MODELS_SHOWN])}"


async def discover(client: EngineClient, engine: EngineType | None) -> Found:
    """`engine`: what the user says that it is, which is not doubted."""
    answers = {call.path: answer for call, answer in await _ask_all(client)}
    if not any(answer.kind is AnswerKind.ANSWERED for answer in answers.values()):
        return Found(up=False, engine=engine, why=next((a.detail for a in answers.values()), ""))
    said = {path: (answer.status or 0, answer.body) for path, answer in answers.items() if answer.status is not None}
    engine = engine or recognise(said)
    if engine is None:
        return Found(up=True, why="no dialect fits the server's answers: name one with --engine")
    partial = any(answer.kind is AnswerKind.SILENT for answer in answers.values())
    return Found(up=True, engine=engine, models=await _models(client, engine, answers), partial=partial)


async def _ask_all(client: EngineClient) -> list[tuple[Call, Answer]]:
    answers = await asyncio.gather(*(client.call(call, seconds=ASK_SECONDS) for call in RECOGNITION_CALLS))
    return list(zip(RECOGNITION_CALLS, answers, strict=True))


async def _models(client: EngineClient, engine: EngineType, known: dict[str, Answer]) -> tuple[str, ...]:
    dialect = dialect_of(EngineTarget(type=engine))
    if dialect.models_path is None:
        return ()
    answer = known.get(dialect.models_path) or await client.get(dialect.models_path, seconds=ASK_SECONDS)
    return dialect.read_models(answer.body) if answer.is_ok else ()
