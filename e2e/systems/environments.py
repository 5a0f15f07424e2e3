"""A virtual environment for each system, in the cache under a hash of its locked requirements.

Knows how one is made and kept; not what runs in it.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from e2e.images.cache import cache_folder, content_hash, locked
from e2e.images.programs import python, run, say, uv

REQUIREMENTS: Final = Path(__file__).with_name("requirements")
PYTHON: Final = "3.11"
RECIPE: Final = "1"  # raise it when the same requirements are to be installed in another way
COMPLETE: Final = ".complete"
NICE: Final = 19  # an install shall not slow down what is tested beside it


def names() -> list[str]:
    return sorted(path.stem for path in REQUIREMENTS.glob("*.in"))


def environment(name: str) -> Path:
    """The interpreter of a system's environment; installed on the first call (up to minutes, with progress lines)."""
    requirements = _lock_file(name)
    folder = cache_folder("systems")
    target = folder / f"{name}-{content_hash(RECIPE, PYTHON, requirements.read_text())}"
    with locked(folder):
        if not (target / COMPLETE).exists():  # written last: without it the install was never finished
            _make(name, requirements, target)
    return target / "bin/python"


def size_megabytes(name: str) -> float:
    """Of an installed environment on disk."""
    root = environment(name).parents[1]
    return sum(path.lstat().st_size for path in root.rglob("*") if path.is_file()) / 1e6


def write_lock(name: str) -> Path:
    """Resolve a system's requirements anew, with the hashes of every file that an index offers for them."""
    command = [uv(), "pip", "compile", "--quiet", "--no-header", "--generate-hashes", f"--python-version={PYTHON}"]
    run([*command, f"{name}.in", f"--output-file={name}.lock.txt"], cwd=REQUIREMENTS)
    return _lock_file(name)


def _lock_file(name: str) -> Path:
    return REQUIREMENTS / f"{name}.lock.txt"


def _make(name: str, requirements: Path, target: Path) -> None:
    started = time.monotonic()
    say(f"{name}: installing into {target}")
    shutil.rmtree(target, ignore_errors=True)
    run([uv(), "venv", "--quiet", f"--python={python(PYTHON)}", str(target)])
    command = [uv(), "pip", "install", "--no-progress", "--require-hashes", f"--python={target}/bin/python"]
    with subprocess.Popen(
        ["nice", f"-n{NICE}", *command, f"--requirements={requirements}"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr or ():
            if not line.startswith((" + ", "Downloaded")):  # what is left is uv's progress, or its complaint
                print(f"   {line}", end="", flush=True)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    (target / COMPLETE).touch()
    _drop_others(name, target)
    say(f"{name}: installed, {time.monotonic() - started:.0f} s")


def _drop_others(name: str, target: Path) -> None:
    """Those of other requirements: each is hundreds of megabytes, and nothing but a test run uses them."""
    for other in target.parent.glob(f"{name}-*"):
        if other != target and len(other.name) == len(target.name):
            shutil.rmtree(other)
