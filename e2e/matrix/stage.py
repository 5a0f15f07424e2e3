"""A fault engine and the watchdog beside it, as processes; and the steps of a scene, carried out."""

from __future__ import annotations

import http.client
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from e2e.matrix.scenes import Power, Put, Step, Users, Wait
from e2e.systems.programs import LOOPBACK, Program, free_port
from e2e.systems.watchdog import Watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.matrix.scenes import Case

CHECKOUT: Final = Path(__file__).parents[2]
POLL_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 10.0
UP_SECONDS: Final = 60.0
"""For a Python process on a busy machine."""

_POWER: Final = {
    ("vllm", Power.SLEEP): "/sleep?level=1",
    ("vllm", Power.WAKE): "/wake_up",
    ("sglang", Power.SLEEP): "/release_memory_occupation",
    ("sglang", Power.WAKE): "/resume_memory_occupation",
}
_OPTIONS: Final = {
    "fastchat": {"concurrency": "16"},  # it does not tell its limit
    "dbgpt": {"model": "tiny"},  # the call that waits for a slot has to name it
    "lazyllm": {"path": "/chat", "text-field": "query"},
}


def until(holds: Callable[[], bool], seconds: float) -> bool:
    """Did it come true in time?"""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def call(method: str, port: int, path: str, document: Any = None) -> int:
    """The status; 0 where nobody answers. By the standard library: it is asked often, and httpx takes long to begin."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    try:
        connection.request(method, path, None if document is None else json.dumps(document))
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    else:
        return answer.status
    finally:
        connection.close()


class Engine:
    """One fault engine, which a restart cures."""

    def __init__(self, case: Case, folder: Path) -> None:
        self._case = case
        self._folder = folder
        self.port, self._control = free_port(), free_port()
        self._program = self._of(sick=case.scene.from_start)

    def _of(self, *, sick: bool) -> Program:
        case, scene = self._case, self._case.scene
        command = [sys.executable, "-m", "e2e.fault_engine", f"--dialect={case.dialect}", f"--host={LOOPBACK}"]
        command += [f"--port={self.port}", f"--control-port={self._control}", *scene.options]
        if sick and case.entry.effects:
            command.append(f"--fault={case.fault}" + (f"={scene.argument}" if scene.argument else ""))
        environment = {"PYTHONPATH": str(CHECKOUT), "VLLM_SERVER_DEV_MODE": "1"}
        return Program("engine", command, self._folder, environment)

    @property
    def log(self) -> str:
        return self._program.log_tail()

    def put(self) -> None:
        document = {"name": self._case.fault, "arg": self._case.scene.argument}
        assert call("PUT", self._control, "/faults", document) == 200, self.log

    def lift(self) -> None:
        call("DELETE", self._control, "/faults")

    def play(self, step: Step) -> None:
        match step:
            case Put():
                if self._case.entry.effects:
                    self.put()
            case Users(load=load):
                call("PUT", self._control, "/traffic", load.as_json())
            case Wait(seconds=seconds):
                time.sleep(seconds)
            case Power():
                call("POST", self.port, _POWER[self._case.dialect, step], {})

    def restart(self) -> None:
        """Healthy, on the same port."""
        self._program.kill()
        self._program = self._of(sick=False)
        self._program.start()

    def __enter__(self) -> Self:
        self._program.start()
        assert until(lambda: call("GET", self._control, "/traffic") == 200, UP_SECONDS), self.log
        return self

    def __exit__(self, *_: object) -> None:
        self._program.kill()


def watched(case: Case, engine: Engine) -> Watched:
    """What somebody would say on the command line."""
    options = _OPTIONS.get(case.dialect, {})
    return Watched(port=engine.port, engine=case.dialect, options=options, policy=case.scene.policy)
