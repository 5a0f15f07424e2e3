"""The request that the watchdog writes is the one that the engine's probe reads."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llm_watchdog.actions.restart import InPlaceRestart
from llm_watchdog.api.names import RESTART_REQUEST_FILE
from llm_watchdog.api.reasons import RestartMethod
from llm_watchdog.core.case import Order
from llm_watchdog.core.situation import OrderState
from llmworker_operator.builders.restart_probe import REQUEST, SCRIPT

if TYPE_CHECKING:
    from pathlib import Path

ORDER = Order(id="qwen-1", incident="qwen", at=datetime.now(UTC), method=RestartMethod.LIVENESS_PROBE)


def fails(directory: Path, first_process: int) -> bool:
    script = SCRIPT.replace(REQUEST, str(directory / RESTART_REQUEST_FILE))
    script = script.replace("/proc/1/stat", f"/proc/{first_process}/stat")
    return subprocess.run(["/bin/sh", "-c", script], check=False).returncode != 0


def test_it_fails_for_the_engine_that_was_meant_and_for_no_other(tmp_path: Path) -> None:
    restart = InPlaceRestart(tmp_path, tmp_path, lambda _code: None)
    with ExitStack() as stack:
        meant = stack.enter_context(subprocess.Popen(["sleep", "60"]))
        stack.callback(meant.kill)
        assert not fails(tmp_path, meant.pid)
        time.sleep(0.05)
        restart.carry_out(ORDER)
        assert fails(tmp_path, meant.pid)
        time.sleep(0.05)
        successor = stack.enter_context(subprocess.Popen(["sleep", "60"]))
        stack.callback(successor.kill)
        assert not fails(tmp_path, successor.pid), "a request older than the container"
        restart.withdraw()
        assert not fails(tmp_path, meant.pid)


def test_another_process_of_the_watchdog_knows_what_lies_there(tmp_path: Path) -> None:
    InPlaceRestart(tmp_path, tmp_path, lambda _code: None).carry_out(ORDER)
    later = InPlaceRestart(tmp_path, tmp_path, lambda _code: None)
    assert later.answer(ORDER).state is OrderState.PENDING
    later.withdraw()
    assert later.answer(ORDER).state is OrderState.ABSENT
    later.withdraw()
