"""What each model server's web side looks like: routes, framing, metric names, status endpoints. One file each."""

from typing import Final

from . import chatchat, dbgpt, fastchat, lazyllm, llamacpp, ollama, openai, sglang, tgi, vllm
from .kind import Dialect

DIALECTS: Final[dict[str, Dialect]] = {
    module.DIALECT.name: module.DIALECT
    for module in (vllm, sglang, llamacpp, tgi, ollama, fastchat, dbgpt, lazyllm, chatchat, openai)
}
