"""The table of faults for the README: `python -m e2e.fault_engine.listing`."""

import sys

from .faults import FAULTS
from .faults.entry import DIALECTS, FaultEntry

_HEADING = (
    "| fault | what it does | class | rows | sources | dialects | seen by | needs |",
    "|---|---|---|---|---|---|---|---|",
)


def table() -> str:
    """Markdown."""
    return "\n".join((*_HEADING, *(_row(entry) for entry in FAULTS.values()))) + "\n"


def _row(entry: FaultEntry) -> str:
    argument = f" `={entry.argument.says}`" if entry.argument else ""
    also = f" ({', '.join(entry.also)})" if entry.also else ""
    dialects = "all" if entry.dialects == DIALECTS else ", ".join(entry.dialects)
    unseen = "".join(f"; not in {dialect}: {why}" for dialect, why in entry.unseen.items())
    cells = (
        f"`{entry.name}`{argument}",
        entry.does,
        f"{entry.expected or 'none'}{also}",
        ", ".join(entry.rows),
        ", ".join(entry.sources),
        dialects,
        f"{entry.seen_by}{unseen}",
        entry.needs,
    )
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


if __name__ == "__main__":
    sys.stdout.write(table())
