"""The lock file of the vLLM environment: exact versions, and the hashes of the wheels that fit the image."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import Any

from e2e.images.programs import run, uv
from e2e.images.vllm.target import LOCK_FILE, PYTHON, WHEEL_PLATFORM

HEADER = "# Made by `python -m e2e.images vllm-lock`; for the hashes of other platforms there is no use here."


def write_lock() -> Path:
    here = LOCK_FILE.parent
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "pylock.toml"  # the one format of uv that leaves out wheels of other platforms
        command = [uv(), "pip", "compile", "--quiet", "--only-binary=:all:", "--no-header", "--format=pylock.toml"]
        command += ["--overrides=overrides.txt", "--excludes=excludes.txt", f"--output-file={target}"]
        command += [f"--python-version={PYTHON}", f"--python-platform={WHEEL_PLATFORM}", "requirements.in"]
        run(command, cwd=here)
        LOCK_FILE.write_text(requirements(tomllib.loads(target.read_text())))
    return LOCK_FILE


def requirements(lock: dict[str, Any]) -> str:
    lines = [HEADER]
    for package in lock["packages"]:
        hashes = sorted(f"--hash=sha256:{wheel['hashes']['sha256']}" for wheel in package["wheels"])
        lines.append(" \\\n    ".join([f"{package['name']}=={package['version']}", *hashes]))
    return "\n".join(lines) + "\n"
