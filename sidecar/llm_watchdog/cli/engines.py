"""`llm-watchdog engines`: the dialects, and what each can see and do."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from llm_watchdog.engines.registry import DIALECTS

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

CANNOT: Final = "-"


def main(said: Namespace) -> int:
    """Always 0."""
    del said
    sys.stdout.write("\n".join(_lines()) + "\n")
    return 0


def _lines() -> Iterator[str]:
    for engine, dialect in DIALECTS.items():
        yield engine.value
        for field in fields(dialect.capabilities):
            words = getattr(dialect.capabilities, field.name) or CANNOT
            yield f"  {field.name.replace('_', ' '):15}{words}"
