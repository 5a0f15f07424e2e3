"""Langchain-Chatchat 0.3.1.3: its API server in front of an upstream. 1.2 GB of packages, so its tests are optional.

Its faults are caused by the upstream's behaviour, and by clients that leave.
"""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from e2e.systems.environments import environment
from e2e.systems.programs import LOOPBACK, Program, free_port
from e2e.systems.talking import Opened, Reply, answers, ask
from e2e.systems.upstream import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.systems.upstream import Upstream

START_SECONDS: Final = 180
CONCURRENCY: Final = 5
"""The built-in limit of requests per model; `api_concurrencies` is written to no place where it is read."""


class Chatchat:
    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self._python = environment("chatchat")
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._folder, self._upstream = folder, upstream
        self.env = {"CHATCHAT_ROOT": str(folder / "chatchat")}
        self.program = Program("chatchat", [*self._command(), "start", "--api"], folder, self.env)

    def chat(self, text: str, *, stream: bool = True, seconds: float = 10) -> Reply:
        return ask(f"{self.url}/v1/chat/completions", self.body(text, stream=stream), seconds=seconds)

    def opened(self, text: str, *, stream: bool = True, seconds: float = 10) -> Opened:
        return Opened(f"{self.url}/v1/chat/completions", self.body(text, stream=stream), "POST", seconds=seconds)

    def saturate(self) -> None:
        """Requests that upstream holds and whose clients have left take up the whole limit."""
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            list(pool.map(lambda _: self.chat("one fault:stall", stream=False, seconds=1), range(CONCURRENCY)))

    @staticmethod
    def body(text: str, *, stream: bool = True) -> dict[str, Any]:
        return {"model": MODEL, "messages": [{"role": "user", "content": text}], "stream": stream, "max_tokens": 64}

    def configure(self) -> None:
        """Its data folder and its database, and settings that name the upstream alone."""
        init = Program("chatchat-init", [*self._command(), "init"], self._folder, self.env)
        with init:
            code = init.wait(START_SECONDS)
        if code != 0:
            raise subprocess.CalledProcessError(code, "chatchat init", init.log_tail())
        platform = {
            "platform_name": "upstream",
            "platform_type": "openai",
            "api_base_url": self._upstream.url,
            "api_key": "none",
            "llm_models": [MODEL],
            "embed_models": ["none"],  # with an empty list it does not start
        }
        models = {"DEFAULT_LLM_MODEL": MODEL, "DEFAULT_EMBEDDING_MODEL": "none", "MODEL_PLATFORMS": [platform]}
        address = {"host": LOOPBACK, "port": self.port, "public_host": LOOPBACK, "public_port": self.port}
        self._settings("model_settings", models)
        self._settings("basic_settings", {"API_SERVER": address})

    def wait_up(self) -> None:
        self.program.wait_up(lambda: answers(f"{self.url}/v1/models"), START_SECONDS)

    def restart(self) -> None:
        self.program.stop()
        self.program.start()

    def _command(self) -> list[str]:
        return [str(self._python), str(self._python.with_name("chatchat"))]

    def _settings(self, name: str, values: dict[str, Any]) -> None:
        (self._folder / "chatchat" / f"{name}.yaml").write_text(json.dumps(values))


@contextmanager
def running(folder: Path, upstream: Upstream) -> Iterator[Chatchat]:
    system = Chatchat(folder, upstream)
    system.configure()
    with system.program:
        system.wait_up()
        yield system
