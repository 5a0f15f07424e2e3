"""The outside programs that building needs: found, installed where root and Debian allow, or asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from e2e.images.contents import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class MissingProgramError(Exception):
    """A program is missing and could not be installed; the message says what to do."""


def say(message: str) -> None:
    print(f">> {message}", flush=True)


def uv() -> str:
    found = os.environ.get("UV") or shutil.which("uv")
    if found:
        return found
    own = REPOSITORY / ".tools/uv/bin/uv"
    if own.exists():
        return str(own)
    raise MissingProgramError("uv is not here: run `make check` once, or install uv (https://docs.astral.sh/uv/)")


def debian_program(program: str, package: str) -> str:
    """Path of a system program, from its Debian package where it is missing."""
    search = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_PATHS))
    found = shutil.which(program, path=search)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {package} (apt-get)")
        quiet = ["apt-get", "-qq", "-o=Dpkg::Use-Pty=0"]
        with suppress(subprocess.CalledProcessError):  # apt-get has said why; what to do stands below
            run([*quiet, "update"])
            run([*quiet, "install", "--yes", "--no-install-recommends", package])
        found = shutil.which(program, path=search)
    if found is None:
        raise MissingProgramError(
            f"{program} is not here: install the package {package} (Debian, Ubuntu: `sudo apt install {package}`)"
        )
    return found


def python(version: str) -> str:
    """An interpreter of the version that is in the images: bytecode of another one would be of no use there."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    program = uv()
    try:
        return run([program, "python", "find", version]).strip()
    except subprocess.CalledProcessError as error:
        raise MissingProgramError(
            f"Python {version} is not here, which the images have: `{program} python install {version}`"
        ) from error


def run(command: list[str], *, cwd: Path = REPOSITORY, stdin: str | None = None) -> str:
    """Run a program to its end; what it said is shown only if it failed."""
    search = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_PATHS))
    done = subprocess.run(
        command, cwd=cwd, input=stdin, env={**os.environ, "PATH": search}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout
