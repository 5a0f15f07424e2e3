"""Grants without an operator: cooldown and maxPerHour hold across processes, a departure needs neither."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from llm_watchdog import orders
from llm_watchdog.api.policy import BudgetPolicy
from llm_watchdog.api.reasons import GrantableStep, RotationReason
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.core.allowance import withheld
from llm_watchdog.core.rotation import Rotation
from llm_watchdog.core.situation import Modes
from llm_watchdog.recorder.local import LocalRecorder
from tests.sidecar.situations import START, World, serving

if TYPE_CHECKING:
    from pathlib import Path

OUT = Rotation(in_rotation=False, reason=RotationReason.FAULTY, message="")
BUDGET = BudgetPolicy(max_per_hour=2, cooldown=Seconds(60))


@pytest.mark.parametrize(
    ("ago", "why"),
    [
        ([], ""),
        ([61], ""),
        ([59], "the last restart was 59 s ago, cooldown is 60s"),
        ([3601, 3602, 3603], ""),
        ([61, 3599], "2 restarts within the last hour, maxPerHour is 2"),
        ([61, 3601], ""),
        ([-30], "the last restart was -30 s ago, cooldown is 60s"),  # a clock that was set back
    ],
)
def test_when_a_restart_is_withheld(ago: list[int], why: str) -> None:
    restarts = [START - timedelta(seconds=seconds) for seconds in ago]
    assert withheld(BUDGET, restarts, START) == why


def recorder(world: World, folder: Path, budget: BudgetPolicy = BUDGET) -> LocalRecorder:
    return LocalRecorder(lambda: world.now, budget=lambda: budget, modes=Modes, journal_dir=folder)


def test_nobody_is_there_to_replace_it(tmp_path: Path) -> None:
    assert not recorder(serving(), tmp_path).view().has_operator


def test_a_restart_waits_until_its_time_has_come(tmp_path: Path) -> None:
    orders.give(str(tmp_path), "earlier", START.timestamp())
    assert orders.honour(str(tmp_path), START.timestamp()) == ""
    world = serving().sick()
    asked = recorder(world, tmp_path)
    asked.submit(world.replica.cases, OUT)
    assert asked.view().incidents[world.case.name].grant is None
    assert "cooldown is 60s" in asked.held_back
    world.at += 60
    asked.submit(world.replica.cases, OUT)
    grant = asked.view().incidents[world.case.name].grant
    assert grant is not None
    assert grant.step is GrantableStep.RESTART
    assert asked.held_back == ""


def test_a_departure_is_granted_at_once(tmp_path: Path) -> None:
    orders.give(str(tmp_path), "earlier", START.timestamp())
    assert orders.honour(str(tmp_path), START.timestamp()) == ""
    world = serving().sick(silent=False)
    asked = recorder(world, tmp_path)
    asked.submit(world.replica.cases, OUT)
    grant = asked.view().incidents[world.case.name].grant
    assert grant is not None
    assert grant.step is GrantableStep.LEAVE_ROTATION


def test_what_the_executor_would_refuse_is_not_granted(tmp_path: Path) -> None:
    orders.give(str(tmp_path), "earlier", START.timestamp())
    assert orders.honour(str(tmp_path), START.timestamp()) == ""
    world = serving().sick()
    asked = recorder(world, tmp_path, BudgetPolicy(max_per_hour=100, cooldown=Seconds(0)))
    asked.submit(world.replica.cases, OUT)
    assert asked.held_back
    world.at += orders.APART_SECONDS
    asked.submit(world.replica.cases, OUT)
    assert not asked.held_back
    orders.give(str(tmp_path), "next", world.now.timestamp())
    assert orders.honour(str(tmp_path), world.now.timestamp()) == ""
