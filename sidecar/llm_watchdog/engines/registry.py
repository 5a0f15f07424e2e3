"""Which dialect an engine type names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import EngineType
from llm_watchdog.engines.chatchat import Chatchat
from llm_watchdog.engines.dbgpt import DbGpt
from llm_watchdog.engines.fastchat import FastChat
from llm_watchdog.engines.lazyllm import LazyLlm
from llm_watchdog.engines.llamacpp import LlamaCpp
from llm_watchdog.engines.ollama import Ollama
from llm_watchdog.engines.openai import OpenAI
from llm_watchdog.engines.sglang import SGLang
from llm_watchdog.engines.tgi import Tgi
from llm_watchdog.engines.vllm import Vllm

if TYPE_CHECKING:
    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.engines.dialect import Dialect

DIALECTS: Final[dict[EngineType, type[Dialect]]] = {
    EngineType.VLLM: Vllm,
    EngineType.FASTCHAT: FastChat,
    EngineType.DBGPT: DbGpt,
    EngineType.LAZYLLM: LazyLlm,
    EngineType.CHATCHAT: Chatchat,
    EngineType.SGLANG: SGLang,
    EngineType.LLAMACPP: LlamaCpp,
    EngineType.TGI: Tgi,
    EngineType.OLLAMA: Ollama,
    EngineType.OPENAI: OpenAI,
}


NEVER: Final = tuple(rule for dialect in DIALECTS.values() for rule in dialect.forbidden if rule.unless is None)
"""For a client that does not know yet what it talks to: what no engine is ever sent."""


def dialect_of(target: EngineTarget) -> Dialect:
    """A new one."""
    return DIALECTS[target.type].of(target)
