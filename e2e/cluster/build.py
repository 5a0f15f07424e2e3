"""Builds one toolchain module's programs with the machine's Go, from its ordinary module proxy."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster.programs import Module, Program
from e2e.cluster.progress import ClusterError, Progress

# Go 1.21 and later fetch the toolchain that a go.mod names by themselves; older ones cannot.
OLDEST_GO = (1, 21)


def find_go() -> str:
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise ClusterError("No Go was found: install Go 1.26 from https://go.dev/dl to build the cluster's programs.")
    told = subprocess.run((go, "env", "GOVERSION"), capture_output=True, text=True, check=False).stdout
    match = re.match(r"go(\d+)\.(\d+)", told)
    if match is None or (int(match[1]), int(match[2])) < OLDEST_GO:
        raise ClusterError(f"{go} is {told.strip() or 'broken'}: install Go 1.26 from https://go.dev/dl.")
    return go


def build_command(go: str, module: Module, programs: Sequence[Program], into: Path) -> list[str]:
    return [go, "build", *module.flags, "-o", f"{into}/", *(program.package for program in programs)]


def build_environment(module: Module) -> dict[str, str]:
    return {
        **os.environ,
        "CGO_ENABLED": "1" if module.cgo else "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOWORK": "off",
    }


def build(module: Module, programs: Sequence[Program], into: Path, progress: Progress) -> None:
    names = ", ".join(program.name for program in programs)
    # A folder of its own, renamed at the end: a build that was interrupted leaves nothing that looks complete.
    scratch = into.parent / f".{into.name}.{os.getpid()}"
    scratch.mkdir(parents=True)
    try:
        with progress.step(f"building {names} {module.version} (minutes at first, seconds with a warm Go cache)"):
            done = subprocess.run(
                build_command(find_go(), module, programs, scratch),
                cwd=module.folder,
                env=build_environment(module),
                check=False,
            )
        if done.returncode != 0:
            raise ClusterError(f"go build of {names} ended with {done.returncode}; its messages stand above.")
        adopt(scratch, programs, into)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def adopt(scratch: Path, programs: Sequence[Program], into: Path) -> None:
    """Move finished programs into the cache under their own names, each in one atomic step."""
    into.mkdir(parents=True, exist_ok=True)
    for program in programs:
        made = scratch / Path(program.package).name
        # A package path that ends in its major version is built under the name before it.
        if not made.exists():
            made = scratch / Path(program.package).parent.name
        made.chmod(0o755)
        made.replace(into / program.name)
