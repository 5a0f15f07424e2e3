"""The command line: `python -m e2e.systems install [NAME...]`, `lock [NAME...]`."""

from __future__ import annotations

import argparse
import sys

from e2e.images.programs import MissingProgramError
from e2e.systems.environments import environment, names, size_megabytes, write_lock


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.systems")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in {"install": "environments, into the cache", "lock": "resolve requirements anew"}.items():
        added = commands.add_parser(command, help=text)
        added.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names()))
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - set(names())
    if unknown:
        parser.error(f"no such system: {', '.join(sorted(unknown))}")
    try:
        for name in chosen.names or names():
            if chosen.command == "lock":
                print(write_lock(name))
            else:
                print(f"{environment(name)} ({size_megabytes(name):.0f} MB)")
    except MissingProgramError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
