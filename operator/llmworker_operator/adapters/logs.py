"""One JSON line per record on standard error; what a decision rests on stands in fields of its own."""

from __future__ import annotations

import logging

from pythonjsonlogger.json import JsonFormatter


def log_as_json(level: int = logging.INFO) -> None:
    """Kopf's own chatter about every event is left out."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("kopf.objects", "kopf._core", "kopf.activities"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
