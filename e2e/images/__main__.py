"""The command line: `python -m e2e.images build [NAME...]`, `dockerfiles`, `vllm-env`, `vllm-lock`."""

from __future__ import annotations

import argparse
import sys

from e2e.images.building import build
from e2e.images.contents import load_contents
from e2e.images.dockerfiles import write_dockerfiles
from e2e.images.programs import MissingProgramError
from e2e.images.vllm import vllm_environment
from e2e.images.vllm.locking import write_lock


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.images")
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="image archives, into the cache")
    building.add_argument("names", nargs="*", metavar="NAME", help=", ".join(load_contents()))
    commands.add_parser("dockerfiles", help="the Dockerfiles, into the repository")
    commands.add_parser("vllm-env", help="the real vLLM and a tiny model, into the cache")
    commands.add_parser("vllm-lock", help="resolve vLLM's packages anew, into the repository")
    chosen = parser.parse_args(arguments)
    unknown = set(getattr(chosen, "names", ())) - load_contents().keys()
    if unknown:
        parser.error(f"no such image: {', '.join(sorted(unknown))}")
    try:
        _run(chosen)
    except MissingProgramError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(chosen: argparse.Namespace) -> None:
    if chosen.command == "build":
        for image in build(chosen.names or load_contents()).values():
            print(f"{image.reference} {image.archive_path}")
    elif chosen.command == "vllm-env":
        print(vllm_environment())
    elif chosen.command == "vllm-lock":
        print(write_lock())
    else:
        for path in write_dockerfiles():
            print(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
