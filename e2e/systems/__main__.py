"""The command line: `python -m e2e.systems install [NAME...]`, `lock [NAME...]`, `record [NAME...]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.images.programs import MissingProgramError
from e2e.systems.environments import environment, names, size_megabytes, write_lock
from e2e.systems.record import RECORDINGS, SYSTEMS, record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.systems")
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {
        "install": "environments, into the cache",
        "lock": "resolve requirements anew",
        "record": "the systems' answers, for the dialects' tests",
    }
    for command, text in texts.items():
        known = sorted(SYSTEMS) if command == "record" else names()
        added = commands.add_parser(command, help=text)
        added.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
        added.set_defaults(known=known)
        if command == "record":
            added.add_argument("--into", type=Path, default=RECORDINGS, metavar="FOLDER", help="default: %(default)s")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - set(chosen.known)
    if unknown:
        parser.error(f"no such system: {', '.join(sorted(unknown))}")
    try:
        for line in _done(chosen, chosen.names or chosen.known):
            print(line, flush=True)
    except MissingProgramError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _done(chosen: argparse.Namespace, systems: Iterable[str]) -> Iterator[object]:
    for name in systems:
        match chosen.command:
            case "lock":
                yield write_lock(name)
            case "record":
                yield from record(name, chosen.into)
            case _:
                yield f"{environment(name)} ({size_megabytes(name):.0f} MB)"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
