"""A DB-GPT worker class that generates in a thread, as DB-GPT's workers for local models do; it echoes.

Runs in DB-GPT's environment, named in `worker_class`. `fault:block` in the message makes the thread stand still for so
many seconds (`fault:block:20`), `fault:raise` raises in the middle.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from dbgpt.core import ModelMetadata, ModelOutput  # type: ignore[import-not-found]
from dbgpt.model.cluster.worker_base import ModelWorker  # type: ignore[import-not-found]
from dbgpt.model.parameter import ModelWorkerParameters, WorkerType  # type: ignore[import-not-found]
from dbgpt.model.proxy.llms.chatgpt import OpenAICompatibleDeployModelParameters  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Iterator

WORD_SECONDS = 0.02
ASKED = re.compile(r"fault:(raise|block)(?::([\d.]+))?")


class EchoWorker(ModelWorker):  # type: ignore[misc]
    def support_async(self) -> bool:
        return False

    def worker_param_class(self) -> Any:
        return ModelWorkerParameters

    def model_param_class(self) -> Any:
        return OpenAICompatibleDeployModelParameters

    def worker_type(self) -> Any:
        return WorkerType.LLM

    def load_worker(self, *arguments: Any, **options: Any) -> None:
        pass

    def parse_parameters(self, command_args: list[str] | None = None) -> None:
        pass

    def start(self, *arguments: Any, **options: Any) -> None:
        pass

    def stop(self) -> None:
        pass

    def generate_stream(self, params: dict[str, Any]) -> Iterator[Any]:
        text = _last_message(params)
        asked = ASKED.search(text)
        words = re.findall(r"\S+\s*", text)[: params.get("max_new_tokens")]
        for spoken in range(1, len(words) + 1):
            time.sleep(WORD_SECONDS)
            yield ModelOutput(text="".join(words[:spoken]), error_code=0)
            if asked and asked[1] == "raise":
                raise RuntimeError("the model broke")
            if asked:
                time.sleep(float(asked[2] or 1e6))
                asked = None

    def generate(self, params: dict[str, Any]) -> Any:
        return list(self.generate_stream(params))[-1]

    def embeddings(self, params: dict[str, Any]) -> list[list[float]]:  # noqa: ARG002 - as its caller has it
        return []

    def count_token(self, prompt: str) -> int:
        return len(prompt.split())

    def get_model_metadata(self, params: dict[str, Any]) -> Any:  # noqa: ARG002
        return ModelMetadata(model="echo")


def _last_message(params: dict[str, Any]) -> str:
    last = params["messages"][-1]
    content = last["content"] if isinstance(last, dict) else last.content
    return content if isinstance(content, str) else str(content)
