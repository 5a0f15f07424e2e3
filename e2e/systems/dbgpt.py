"""DB-GPT 0.8.2: `dbgpt start worker` (with its controller) and `dbgpt start apiserver`, in front of an upstream.

Two kinds of worker: the proxy to an OpenAI-compatible server, and one that generates in a thread, as those for local
models do. How each fault is caused in it, in words of its own protocol.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from e2e.systems.environments import environment
from e2e.systems.programs import LOOPBACK, Program, free_port
from e2e.systems.talking import Opened, Reply, answers, ask, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.systems.upstream import Upstream

MODEL: Final = "echo"
LIMIT: Final = 2
START_SECONDS: Final = 60
INSIDE: Final = Path(__file__).with_name("inside")


class Kind(StrEnum):
    PROXY = ""
    THREAD = "dbgpt_worker.EchoWorker"


WORKER: Final = """\
[system]
language = "en"
[service.model.worker]
host = "{host}"
port = {port}
worker_type = "llm"
worker_class = "{kind}"
standalone = true
register = true
[models]
[[models.llms]]
name = "{model}"
provider = "proxy/openai"
api_base = "{upstream}"
api_key = "none"
concurrency = {limit}
"""
API_SERVER: Final = """\
[system]
language = "en"
[service.model.api]
host = "{host}"
port = {port}
controller_addr = "{worker}"
"""


class DbGpt:
    """A running DB-GPT. `worker` is what a watchdog stands beside; `gateway` is the OpenAI route."""

    def __init__(self, folder: Path, upstream: Upstream, kind: Kind = Kind.PROXY) -> None:
        python = environment("dbgpt")
        self.worker_port, gateway_port = free_port(), free_port()
        self.worker, self.gateway = (f"http://{LOOPBACK}:{port}" for port in (self.worker_port, gateway_port))
        values = {"host": LOOPBACK, "model": MODEL, "limit": LIMIT, "kind": kind.value, "upstream": upstream.url}
        worker = WORKER if kind is not Kind.PROXY else WORKER.replace('worker_class = "{kind}"\n', "")
        files = {
            "worker": worker.format(port=self.worker_port, **values),
            "apiserver": API_SERVER.format(port=gateway_port, worker=self.worker, **values),
        }

        def program(name: str) -> Program:
            path = folder / f"{name}.toml"
            path.write_text(files[name])
            command = [str(python), str(python.with_name("dbgpt")), "start", name, "-c", str(path)]
            return Program(f"dbgpt-{name}", command, folder, {"PYTHONPATH": str(INSIDE)})

        self.worker_program, self.gateway_program = program("worker"), program("apiserver")

    # How it is used.

    def generate(self, text: str, *, max_tokens: int = 64, seconds: float = 10) -> Reply:
        """A whole stream of the worker."""
        return ask(f"{self.worker}/api/worker/generate_stream", self.body(text, max_tokens), seconds=seconds)

    def opened(self, text: str, *, max_tokens: int = 64) -> Opened:
        return Opened(f"{self.worker}/api/worker/generate_stream", self.body(text, max_tokens), "POST", seconds=10)

    def opened_chat(self, text: str) -> Opened:
        return Opened(f"{self.gateway}/api/v1/chat/completions", self.chat_body(text), "POST", seconds=10)

    def chat(self, text: str, *, stream: bool = True, seconds: float = 10) -> Reply:
        """Through the API server."""
        return ask(f"{self.gateway}/api/v1/chat/completions", self.chat_body(text, stream=stream), seconds=seconds)

    def metadata(self, *, seconds: float = 1) -> Reply:
        """Takes a slot and costs no token: silent exactly when no slot is free."""
        return ask(f"{self.worker}/api/worker/model_metadata", {"model": MODEL}, seconds=seconds)

    # How faults are caused.

    def block_a_thread(self, seconds: float) -> None:
        """A generation stands still in its thread, and its client leaves: a slot that nobody is connected to."""
        with self.opened(f"one fault:block:{seconds:g} two") as stream:
            stream.send()
            stream.read_until(lambda body: b"\0" in body)

    @staticmethod
    def body(text: str, max_tokens: int) -> dict[str, Any]:
        messages = [{"role": "human", "content": text}]
        options = {"temperature": 0, "max_new_tokens": max_tokens, "stream": True, "echo": False}
        return {"model": MODEL, "prompt": "", "messages": messages, **options}

    @staticmethod
    def chat_body(text: str, *, stream: bool = True) -> dict[str, Any]:
        return {"model": MODEL, "messages": [{"role": "user", "content": text}], "stream": stream, "max_tokens": 64}

    # Its life.

    def has_a_slot(self) -> bool:
        return self.metadata().status == 200

    def wait_worker(self) -> None:
        health = f"{self.worker}/api/health"
        self.worker_program.wait_up(lambda: answers(health), START_SECONDS)
        wait_for("the worker knows its model", self.has_a_slot, START_SECONDS)

    def restart_worker(self) -> None:
        self.worker_program.stop()
        self.worker_program.start()


@contextmanager
def running(folder: Path, upstream: Upstream, kind: Kind = Kind.PROXY) -> Iterator[DbGpt]:
    """Worker and API server, from when a model call is answered until the end of the block."""
    system = DbGpt(folder, upstream, kind)
    with ExitStack() as stack:
        stack.enter_context(system.worker_program)
        system.wait_worker()
        stack.enter_context(system.gateway_program)
        models = f"{system.gateway}/api/v1/models"
        system.gateway_program.wait_up(lambda: answers(models), START_SECONDS)
        yield system
