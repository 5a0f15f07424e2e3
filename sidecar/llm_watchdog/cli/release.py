"""`llm-watchdog release`: a person lifts the quarantine of a server that `llm-watchdog run` watches."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from llm_watchdog.journal import newest, write_durably
from llm_watchdog.settings import RELEASE_FILE

if TYPE_CHECKING:
    from argparse import Namespace

NOTHING_HELD: Final = 1
NO_JOURNAL: Final = 2


def main(said: Namespace) -> int:
    """0: will be lifted by the watchdog that runs, or by the next one; 1: nothing is held; 2: there is no journal."""
    try:
        replica = newest(said.journal)
        if replica is None or replica.quarantine is None:
            sys.stderr.write(f"nothing is quarantined in {said.journal}\n")
            return NOTHING_HELD
        # The time makes each release another one: an old one lifts no later quarantine.
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        write_durably(said.journal / RELEASE_FILE, f"{' '.join(said.reason.split())} ({stamp})\n".encode())
    except OSError as error:
        sys.stderr.write(f"llm-watchdog release: error: {error}\n")
        return NO_JOURNAL
    sys.stdout.write(f"released: {replica.quarantine.incident}, held since {replica.quarantine.since:%F %T} UTC\n")
    return 0
