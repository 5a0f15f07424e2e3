"""A restart by command: once for each order, and an answer for whoever asks."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from llm_watchdog.actions.command import CommandRestart
from llm_watchdog.api.reasons import RestartMethod
from llm_watchdog.core.case import Order
from llm_watchdog.core.situation import OrderState
from tests.sidecar.cli.host import until

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def order(name: str = "one") -> Order:
    return Order(id=name, incident="i", at=NOW, method=RestartMethod.COMMAND)


def action(folder: Path, command: str | None, timeout: float = 60.0, now: datetime = NOW) -> CommandRestart:
    return CommandRestart(command, timeout, folder, lambda: now)


def ended(restart: CommandRestart, name: str = "one") -> OrderState:
    until("an end", lambda: restart.answer(order(name)).state is not OrderState.PENDING)
    return restart.answer(order(name)).state


@pytest.mark.parametrize(
    ("command", "state", "message"),
    [
        ("true", OrderState.HONOURED, "the command accepted the restart"),
        ("exit 7", OrderState.REFUSED, "the command ended with exit code 7"),
        ("kill -9 $$", OrderState.REFUSED, "the command ended with signal 9"),
        ("/nowhere/at/all", OrderState.REFUSED, "the command ended with exit code 127"),
    ],
)
def test_the_exit_code_is_the_answer(tmp_path: Path, command: str, state: OrderState, message: str) -> None:
    restart = action(tmp_path, command)
    assert restart.answer(order()).state is OrderState.ABSENT
    restart.carry_out(order())
    assert ended(restart) is state
    assert restart.answer(order()).message == message


def test_an_order_is_carried_out_once_whoever_asks(tmp_path: Path) -> None:
    command = f"echo run >> {tmp_path}/ran"
    first = action(tmp_path, command)
    first.carry_out(order())
    assert ended(first) is OrderState.HONOURED
    second = action(tmp_path, command)
    second.carry_out(order())
    assert second.answer(order()).state is OrderState.REFUSED
    assert (tmp_path / "ran").read_text() == "run\n"


def test_an_order_of_a_process_that_was_killed_counts_as_accepted(tmp_path: Path) -> None:
    first = action(tmp_path, "true")
    first.carry_out(order())
    ended(first)
    assert action(tmp_path, "true").answer(order()).state is OrderState.HONOURED
    assert action(tmp_path, None).answer(order()).state is OrderState.HONOURED
    assert action(tmp_path, "true").answer(order("two")).state is OrderState.ABSENT


def test_what_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    restart = action(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 600 & wait", timeout=0.5)
    restart.carry_out(order())
    assert ended(restart) is OrderState.TIMED_OUT
    group = int((tmp_path / "pid").read_text())

    def is_gone() -> bool:
        restart.withdraw()
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    until("the whole group has ended", is_gone)
    assert restart.answer(order()).state is OrderState.TIMED_OUT


def test_no_second_command_beside_one_that_runs(tmp_path: Path) -> None:
    later = NOW + timedelta(minutes=2)
    restart = action(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 600", now=later)
    restart.carry_out(order())
    pid = int(until("a pid", lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    restart.carry_out(order("two"))
    assert restart.answer(order("two")).state is OrderState.REFUSED
    assert restart.answer(order()).state is OrderState.PENDING
    os.kill(pid, signal.SIGKILL)
    assert ended(restart) is OrderState.REFUSED


def test_an_order_that_cannot_be_used_up_runs_nothing(tmp_path: Path) -> None:
    restart = action(tmp_path / "missing", f"touch {tmp_path}/ran")
    with pytest.raises(OSError, match="missing"):
        restart.carry_out(order())
    assert restart.answer(order()).state is OrderState.ABSENT
    assert not (tmp_path / "ran").exists()


def test_without_a_command_nothing_is_carried_out(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no restart command"):
        action(tmp_path, None).carry_out(order())
