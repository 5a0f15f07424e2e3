"""The real vLLM on the machine's processor, with a tiny model: the environment of `e2e.images.vllm`, as processes.

How each fault is caused in it: through the worker extension, the dev routes, or signals to its processes.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from e2e.images.contents import load_contents
from e2e.images.vllm import SERVED_MODEL, vllm_arguments, vllm_environment
from e2e.images.vllm.environment import MODEL, SITE_PACKAGES
from e2e.systems.programs import LOOPBACK, Program, free_port
from e2e.systems.talking import End, Opened, Reply, answers, ask, wait_for

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Mapping

START_SECONDS: Final = 600
"""Half a minute alone; minutes beside other work on two cores."""
INSIDE: Final = Path(__file__).with_name("inside")
EXTENSION: Final = "vllm_extension.Faults"
CORE: Final = "VLLM::EngineCore"
KEEP_ALIVE: Final = {"VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "1"}


class Vllm:
    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        files = vllm_environment()
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        python = str(Path(sys.base_prefix) / "bin/python3")  # not ours: its packages are of other versions
        _, *options = vllm_arguments(self.port)
        extension = ["--host", LOOPBACK, "--worker-extension-cls", EXTENSION]
        command = [python, "-m", "vllm.entrypoints.cli.main", "serve", str(files / MODEL), *options, *extension]
        of_image = dict(load_contents()["vllm"].environment)
        own = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": f"{files / SITE_PACKAGES}:{INSIDE}"}
        self.program = Program("vllm", command, folder, {**of_image, **own, **(env or {})})

    # How it is used.

    def complete(self, prompt: str, *, max_tokens: int = 16, seconds: float = 10, **fields: Any) -> Reply:
        """A whole stream."""
        return ask(f"{self.url}/v1/completions", self.body(prompt, max_tokens, **fields), seconds=seconds)

    def opened(self, prompt: str, *, max_tokens: int = 512) -> Opened:
        return Opened(f"{self.url}/v1/completions", self.body(prompt, max_tokens), "POST", seconds=30)

    @staticmethod
    def body(prompt: str, max_tokens: int, **fields: Any) -> dict[str, Any]:
        fixed = {"temperature": 0, "ignore_eos": True, "stream": True}
        return {"model": SERVED_MODEL, "prompt": prompt, "max_tokens": max_tokens, **fixed, **fields}

    # How faults are caused.

    def inside(self, fault: str, *, patience: float = 10, **arguments: Any) -> Reply:
        """A method of the worker extension."""
        order = {"method": f"fault_{fault}", "kwargs": arguments}
        return ask(f"{self.url}/collective_rpc", order, seconds=patience)

    def hang(self, seconds: float = 1e6) -> None:
        """The worker stands still; the request that causes it is left."""
        self.inside("block", patience=1, seconds=seconds)

    def order(self, path: str) -> Reply:
        """A dev route without a body: `/pause`, `/resume`, `/sleep?level=1`, `/wake_up`."""
        return ask(f"{self.url}{path}")

    def signal_core(self, number: signal.Signals) -> None:
        """To the EngineCore alone."""
        os.kill(self._core(), number)

    # Its life.

    def wait_up(self) -> None:
        self.program.wait_up(lambda: answers(f"{self.url}/health"), START_SECONDS)

    def restart(self) -> None:
        self.program.stop()
        self.program.start()

    def restore(self) -> None:
        """As it was at the start, whatever was caused."""
        if self.complete("one", seconds=2).status != httpx.codes.OK:
            self.order("/resume")
            self.order("/wake_up")
        if not answers(f"{self.url}/health") or self.complete("one", seconds=5).end is not End.WHOLE:
            self.restart()
            self.wait_up()
        self.inside("end")

    def _core(self) -> int:
        """Of the processes in its own group, the one of that title."""
        wait_for("an EngineCore", lambda: bool(self._titled(CORE)))
        return self._titled(CORE)[0]

    def _titled(self, title: str) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                ours = os.getpgid(int(folder.name)) == self.program.pid
                if ours and (folder / "cmdline").read_bytes().startswith(title.encode()):
                    found.append(int(folder.name))
            except (ProcessLookupError, FileNotFoundError):
                continue
        return found


@contextmanager
def running(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Vllm]:
    system = Vllm(folder, env)
    with system.program:
        system.wait_up()
        yield system
