"""`llm-watchdog`: reads the command line and loads no more than the command that was named."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from llm_watchdog.cli.parser import parser

if TYPE_CHECKING:
    from types import FrameType

WATCHING: Final = frozenset({"run", "sidecar"})


def main() -> int:
    """The exit code; argparse ends the program with 2 where the command line makes no sense."""
    said = parser().parse_args()
    if said.command in WATCHING:
        # Told to stop while it still loads: nothing has begun.
        signal.signal(signal.SIGTERM, _stop)
    code: int = import_module(f"llm_watchdog.cli.{said.command}").main(said)
    return code


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
