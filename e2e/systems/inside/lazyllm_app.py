"""A streaming chat server of LazyLLM's parts, as its users write one: OnlineChatModule, FileSystemQueue, threads.

Runs in LazyLLM's environment. Three ways to tell the requests apart: `bug` does nothing about it, `fix` gives each
request a session id with `_init_sid`, `helper` leaves it to LazyLLM's StreamCallHelper.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import TYPE_CHECKING, Any

import lazyllm  # type: ignore[import-not-found]
import uvicorn
from fastapi import FastAPI, Request  # type: ignore[import-not-found]
from fastapi.responses import StreamingResponse  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLL_SECONDS = 0.02
THREADS = 50


def event(**fields: Any) -> str:
    return f"data: {json.dumps(fields, ensure_ascii=False)}\n\n"


class Chat:
    def __init__(self, upstream: str, mode: str) -> None:
        self.model = lazyllm.OnlineChatModule(
            source="openai", base_url=upstream, model="echo", api_key="none", stream=True
        )
        self.pool = lazyllm.ThreadPoolExecutor(THREADS)
        self.mode = mode

    async def stream(self, query: str) -> AsyncIterator[str]:
        """The queue's messages as they come, then the whole answer once more."""
        spoken = self._by_helper(query) if self.mode == "helper" else self._by_queue(query)
        async for fields in spoken:
            yield event(**fields)
        yield "data: [DONE]\n\n"

    async def _by_queue(self, query: str) -> AsyncIterator[dict[str, Any]]:
        if self.mode == "fix":
            lazyllm.globals._init_sid()  # noqa: SLF001 - what the report's author did
        answer = self.pool.submit(self.model, query)
        while True:
            over = answer.done()
            messages = lazyllm.FileSystemQueue().dequeue()
            if messages:
                yield {"session": lazyllm.globals._sid, "messages": messages}  # noqa: SLF001 - it has no public name
            elif over:
                break
            else:
                await asyncio.sleep(POLL_SECONDS)
        yield {"final": str(answer.result())}

    async def _by_helper(self, query: str) -> AsyncIterator[dict[str, Any]]:
        call = lazyllm.StreamCallHelper(self.model)
        async for message in call.astream(query):
            yield {"session": lazyllm.globals._sid, "messages": [message]}  # noqa: SLF001
        yield {"final": str(call.future.result())}


def application(chat: Chat) -> FastAPI:
    app = FastAPI()

    @app.post("/chat")  # type: ignore[untyped-decorator]
    async def answer(request: Request) -> StreamingResponse:
        query = (await request.json())["query"]
        return StreamingResponse(chat.stream(query), media_type="text/event-stream")

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--mode", choices=["bug", "fix", "helper"], required=True)
    chosen = parser.parse_args()
    app = application(Chat(chosen.upstream, chosen.mode))
    uvicorn.run(app, host="127.0.0.1", port=chosen.port, log_level="info")


if __name__ == "__main__":
    main()
