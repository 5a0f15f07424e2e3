"""Restart orders: fresh, once, and not too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_watchdog import orders

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0


def test_none_is_refused(tmp_path: Path) -> None:
    assert orders.honour(str(tmp_path), NOW) == "there is no order"


@pytest.mark.parametrize(("age", "honoured"), [(0, True), (59, True), (61, False), (-61, False)])
def test_only_a_fresh_one_is_honoured(tmp_path: Path, age: float, honoured: bool) -> None:  # noqa: FBT001
    orders.give(str(tmp_path), "a", NOW - age)
    refusal = orders.honour(str(tmp_path), NOW)
    assert (refusal == "") is honoured
    assert orders.answer(str(tmp_path)) == ("a", refusal)


def test_each_once(tmp_path: Path) -> None:
    directory = str(tmp_path)
    orders.give(directory, "a", NOW)
    assert orders.honour(directory, NOW) == ""
    assert orders.honour(directory, NOW) == "there is no order"
    orders.give(directory, "a", NOW + 30)
    assert "before" in orders.honour(directory, NOW + 30)


def test_not_too_close_and_not_too_many(tmp_path: Path) -> None:
    directory = str(tmp_path)
    orders.give(directory, "a", NOW)
    orders.honour(directory, NOW)
    orders.give(directory, "b", NOW + 5)
    assert "5 s ago" in orders.honour(directory, NOW + 5)
    for number in range(orders.PER_HOUR - 1):
        at = NOW + 20 * (number + 1)
        orders.give(directory, f"c{number}", at)
        assert orders.honour(directory, at) == ""
    orders.give(directory, "d", NOW + 1000)
    assert "within the last hour" in orders.honour(directory, NOW + 1000)
    orders.give(directory, "e", NOW + 4000)
    assert orders.honour(directory, NOW + 4000) == ""


@pytest.mark.parametrize("rubbish", ["", "a", "a b c", "\x00\xff"])
def test_rubbish_restarts_nothing(tmp_path: Path, rubbish: str) -> None:
    (tmp_path / orders.ORDER_FILE).write_text(rubbish, encoding="latin-1")
    assert orders.honour(str(tmp_path), NOW)


def test_an_order_that_cannot_be_used_up_is_not_honoured(tmp_path: Path) -> None:
    orders.give(str(tmp_path), "a", NOW)
    (tmp_path / f"{orders.HONOURED_FILE}.tmp").mkdir()
    assert "cannot be used up" in orders.honour(str(tmp_path), NOW)
