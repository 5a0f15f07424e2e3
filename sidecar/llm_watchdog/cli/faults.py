"""`llm-watchdog faults`: the fault classes and the reasons that each may have."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from llm_watchdog.api import sentences
from llm_watchdog.api.reasons import REASONS, FaultClass, FindingReason

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator


def main(said: Namespace) -> int:
    """Always 0."""
    del said
    sys.stdout.write("\n".join(_lines()) + "\n")
    return 0


def _lines() -> Iterator[str]:
    for fault in FaultClass:
        yield f"{fault.value}: {sentences.FAULTS[fault]}"
        for reason in (reason for reason in FindingReason if reason in REASONS[fault]):
            yield f"  {reason.value:24}{sentences.REASONS[reason]}"
