"""A FastChat worker without a model: FastChat's own app, semaphore and heartbeats around a generation that echoes.

Runs in FastChat's environment. A word in the prompt causes a fault inside the generation:
`fault:raise` an exception that FastChat does not expect, `fault:block` the thread stands still for so many seconds
(`fault:block:20`), `fault:short` the generation ends without a finish reason.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from typing import TYPE_CHECKING, Any

import uvicorn
from fastchat.conversation import get_conv_template  # type: ignore[import-not-found]
from fastchat.serve.base_model_worker import BaseModelWorker, app  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Iterator

WORD_SECONDS = 0.02
CONTEXT = 2048
ASKED = re.compile(r"fault:(raise|block|short)(?::([\d.]+))?")


class EchoWorker(BaseModelWorker):  # type: ignore[misc]
    def __init__(self, controller: str, address: str, model: str, limit: int) -> None:
        super().__init__(controller, address, "echo-worker", model, [model], limit)
        self.context_len = CONTEXT

    def make_conv_template(self, *_: Any) -> Any:
        return get_conv_template("raw")

    def count_token(self, params: dict[str, Any]) -> dict[str, int]:
        return {"count": len(params["prompt"].split()), "error_code": 0}

    def generate_stream_gate(self, params: dict[str, Any]) -> Iterator[bytes]:
        self.call_ct += 1
        prompt = params["prompt"]
        words = re.findall(r"\S+\s*", prompt)
        limit = int(params.get("max_new_tokens") or CONTEXT)
        asked = ASKED.search(prompt)
        spoken = 0
        for spoken in range(1, min(limit, len(words)) + 1):
            time.sleep(WORD_SECONDS)
            yield _event(words, spoken, None)
            if asked and asked[1] == "raise":
                raise KeyError("what FastChat does not expect")
            if asked and asked[1] == "block":
                time.sleep(float(asked[2] or 1e6))
                asked = None
        if not asked:
            yield _event(words, spoken, "length" if limit < len(words) else "stop")

    def generate_gate(self, params: dict[str, Any]) -> dict[str, Any]:
        last = b"{}\0"
        for event in self.generate_stream_gate(params):
            last = event
        answer: dict[str, Any] = json.loads(last[:-1])
        return answer

    def get_embeddings(self, params: dict[str, Any]) -> dict[str, Any]:
        """FastChat calls this in its event loop: while it blocks, the whole worker stands still."""
        asked = ASKED.search(str(params["input"]))
        if asked and asked[1] == "block":
            time.sleep(float(asked[2] or 1e6))
        return {"embedding": [[0.0]], "token_num": 1}


def _event(words: list[str], spoken: int, finish: str | None) -> bytes:
    usage = {"prompt_tokens": len(words), "completion_tokens": spoken, "total_tokens": len(words) + spoken}
    event = {"text": "".join(words[:spoken]), "error_code": 0, "usage": usage, "finish_reason": finish}
    return json.dumps(event).encode() + b"\0"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--controller", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--limit", type=int, required=True)
    chosen = parser.parse_args()
    worker = EchoWorker(chosen.controller, f"http://127.0.0.1:{chosen.port}", chosen.model, chosen.limit)
    worker.init_heart_beat()
    uvicorn.run(app, host="127.0.0.1", port=chosen.port, log_level="info")


if __name__ == "__main__":
    main()
