"""FastChat 0.2.36: controller, a worker without a model, and the OpenAI gateway, each a process.

How each fault is caused in it, in words of the worker protocol.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from e2e.systems.environments import environment
from e2e.systems.programs import LOOPBACK, Program, free_port
from e2e.systems.talking import Opened, Reply, answers, ask, get, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL: Final = "echo"
LIMIT: Final = 2
START_SECONDS: Final = 60
GATEWAY_TIMEOUT: Final = 3
"""How long the gateway waits for its worker (100 s by default): the tests' time is short."""
WORKER_SCRIPT: Final = Path(__file__).with_name("inside") / "fastchat_worker.py"
PINNED: Final = "fastchat"
UNPINNED: Final = "fastchat-pydantic2"
"""With pydantic 2 every stream of the gateway is an empty 200."""


class FastChat:
    """A running FastChat. `worker` is what a watchdog stands beside; `gateway` is the OpenAI route."""

    def __init__(self, folder: Path, requirements: str = PINNED) -> None:
        python = str(environment(requirements))
        ports = {name: free_port() for name in ("controller", "worker", "gateway")}
        self.worker_port, self.gateway_port = ports["worker"], ports["gateway"]
        self.controller, self.worker, self.gateway = (f"http://{LOOPBACK}:{port}" for port in ports.values())
        env = {"LOGDIR": str(folder), "FASTCHAT_WORKER_HEART_BEAT_INTERVAL": "1"}

        def program(name: str, *command: str) -> Program:
            timeout = {"FASTCHAT_WORKER_API_TIMEOUT": str(GATEWAY_TIMEOUT)}
            return Program(f"fastchat-{name}", [python, *command], folder, {**env, **timeout})

        def served(name: str, *more: str) -> Program:
            where = (f"--host={LOOPBACK}", f"--port={ports[name]}")
            module = {"controller": "controller", "gateway": "openai_api_server"}[name]
            return program(name, "-m", f"fastchat.serve.{module}", *where, *more)

        self.controller_program = served("controller")
        self.worker_program = program(
            "worker",
            str(WORKER_SCRIPT),
            f"--port={ports['worker']}",
            f"--controller={self.controller}",
            f"--model={MODEL}",
            f"--limit={LIMIT}",
        )
        self.gateway_program = served("gateway", f"--controller-address={self.controller}")

    # How it is used.

    def generate(self, prompt: str, *, max_tokens: int = 64, seconds: float = 10) -> Reply:
        """A whole stream of the worker."""
        return ask(f"{self.worker}/worker_generate_stream", self.body(prompt, max_tokens), seconds=seconds)

    def opened(self, prompt: str, *, max_tokens: int = 64) -> Opened:
        """A stream of the worker that is left before its end."""
        return Opened(f"{self.worker}/worker_generate_stream", self.body(prompt, max_tokens), "POST", seconds=10)

    def chat(self, prompt: str, *, stream: bool = True, max_tokens: int = 64, seconds: float = 10) -> Reply:
        """Through the gateway."""
        return ask(f"{self.gateway}/v1/chat/completions", self.chat_body(prompt, stream, max_tokens), seconds=seconds)

    def opened_chat(self, prompt: str, *, max_tokens: int = 64) -> Opened:
        url = f"{self.gateway}/v1/chat/completions"
        return Opened(url, self.chat_body(prompt, stream=True, max_tokens=max_tokens), "POST", seconds=30)

    def queue_length(self) -> int:
        """Slots held plus requests that wait for one."""
        return int(ask(f"{self.worker}/worker_get_status").json()["queue_length"])

    def is_free(self) -> bool:
        """It answers, and no slot is held."""
        reply = ask(f"{self.worker}/worker_get_status", seconds=2)
        return reply.status == 200 and reply.json()["queue_length"] == 0

    # How faults are caused.

    def leak(self) -> Reply:
        """One slot, for good: the generator raises what FastChat does not catch (a request without a prompt)."""
        return ask(f"{self.worker}/worker_generate_stream", {"model": MODEL})

    def block_a_thread(self, seconds: float) -> None:
        """A generation stands still in its thread, and its client leaves: a slot that nobody is connected to."""
        with self.opened(f"one fault:block:{seconds:g} two") as stream:
            stream.send()
            stream.read_until(lambda body: b"\0" in body)

    def block_the_loop(self, seconds: float) -> None:
        """The whole worker stands still: FastChat computes embeddings in its event loop."""
        ask(
            f"{self.worker}/worker_get_embeddings", {"model": MODEL, "input": [f"fault:block:{seconds:g}"]}, seconds=0.5
        )

    @staticmethod
    def body(prompt: str, max_tokens: int) -> dict[str, Any]:
        return {"model": MODEL, "prompt": prompt, "temperature": 0, "max_new_tokens": max_tokens, "echo": False}

    @staticmethod
    def chat_body(prompt: str, stream: bool, max_tokens: int) -> dict[str, Any]:  # noqa: FBT001 - a field of the body
        messages = [{"role": "user", "content": prompt}]
        return {"model": MODEL, "messages": messages, "stream": stream, "max_tokens": max_tokens, "temperature": 0}

    # Its life.

    def wait_worker(self) -> None:
        status = f"{self.worker}/worker_get_status"
        self.worker_program.wait_up(lambda: answers(status, method="POST"), START_SECONDS)

    def restart_worker(self) -> None:
        self.worker_program.stop()
        self.worker_program.start()


@contextmanager
def running(folder: Path, requirements: str = PINNED) -> Iterator[FastChat]:
    """All three processes, from when the gateway knows the worker's model until the end of the block."""
    system = FastChat(folder, requirements)
    with ExitStack() as stack:
        stack.enter_context(system.controller_program)
        listed = f"{system.controller}/list_models"
        system.controller_program.wait_up(lambda: answers(listed, method="POST"), START_SECONDS)
        stack.enter_context(system.worker_program)
        stack.enter_context(system.gateway_program)
        system.wait_worker()
        models = f"{system.gateway}/v1/models"
        system.gateway_program.wait_up(lambda: answers(models), START_SECONDS)
        wait_for("the gateway lists the model", lambda: bool(get(models).json()["data"]), START_SECONDS)
        yield system
