"""Restart orders on disk: what the watchdog writes, what the supervisor answers. Each order is honoured at most once.

Plain `key value` lines and nothing imported but `os`: the supervisor reads this too, and pathlib would cost it a
megabyte for as long as the pod lives.
"""

from __future__ import annotations

import os

ORDER_FILE = "restart-order"
ANSWER_FILE = "restart-answer"
HONOURED_FILE = "restarts-honoured"

FRESH_SECONDS = 60.0
"""An order is given and handed over within a second; an older one was meant for another engine."""
PER_HOUR = 12
"""A net under the policy's own budget, not a setting: no bug may restart a model server for ever."""
APART_SECONDS = 10.0
HOUR_SECONDS = 3600.0
KEPT_LINES = 64


def give(directory: str, order: str, at: float) -> None:
    """Put the order where the supervisor looks for it. Raises OSError."""
    _replace(os.path.join(directory, ORDER_FILE), f"{order} {at:.3f}\n")


def answer(directory: str) -> tuple[str, str]:
    """The order that was answered last, and why it was refused (empty: it was honoured)."""
    order, _, why = _first_line(os.path.join(directory, ANSWER_FILE)).partition(" ")
    return order, why


def honour(directory: str, now: float) -> str:
    """Use up the order that lies there. Empty when it may be carried out, else why not."""
    order, _, stamp = _first_line(os.path.join(directory, ORDER_FILE)).partition(" ")
    if not order:
        return "there is no order"
    try:
        refusal = _refusal(directory, order, float(stamp), now)
        if not refusal:
            _remember(directory, order, now)
        _replace(os.path.join(directory, ANSWER_FILE), f"{order} {refusal}\n")
        os.unlink(os.path.join(directory, ORDER_FILE))
    except (OSError, ValueError) as error:
        return f"the order cannot be used up: {error}"
    return refusal


def honoured(directory: str) -> list[tuple[str, float]]:
    """Orders carried out, oldest first."""
    try:
        with open(os.path.join(directory, HONOURED_FILE), encoding="ascii") as file:
            pairs = [line.split() for line in file]
    except OSError:
        return []
    return [(pair[0], float(pair[1])) for pair in pairs if len(pair) == 2]  # noqa: PLR2004


def _refusal(directory: str, order: str, at: float, now: float) -> str:
    earlier = honoured(directory)
    recent = [when for _, when in earlier if now - when < HOUR_SECONDS]
    if order in [name for name, _ in earlier]:
        return f"order {order} was honoured before"
    if abs(now - at) > FRESH_SECONDS:
        return f"order {order} is {now - at:.0f} s old"
    if recent and now - max(recent) < APART_SECONDS:
        return f"the last restart was {now - max(recent):.0f} s ago"
    if len(recent) >= PER_HOUR:
        return f"{len(recent)} restarts within the last hour"
    return ""


def _remember(directory: str, order: str, now: float) -> None:
    lines = [f"{name} {when:.3f}\n" for name, when in honoured(directory)][-KEPT_LINES:]
    _replace(os.path.join(directory, HONOURED_FILE), "".join([*lines, f"{order} {now:.3f}\n"]))


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _replace(path: str, text: str) -> None:
    descriptor = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        data = text.encode("ascii", "replace")
        if os.write(descriptor, data) != len(data):
            raise OSError(f"{path}: written in part")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(path + ".tmp", path)
    descriptor = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
