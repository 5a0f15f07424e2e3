"""Programs that the machine already has: only those whose version is exactly the pinned one."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from e2e.cluster.programs import Program


def tells_version(output: str, version: str) -> bool:
    return re.search(rf"(?<![\d.])v?{re.escape(version)}(?![\d.]*\d)", output) is not None


def search_path(env: Mapping[str, str]) -> str:
    return os.pathsep.join(filter(None, (env.get("KUBEBUILDER_ASSETS"), env.get("PATH"))))


def find_installed(program: Program, env: Mapping[str, str] = os.environ) -> Path | None:
    found = shutil.which(program.name, path=search_path(env))
    if found is None:
        return None
    try:
        answer = subprocess.run((found, *program.version_args), capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode != 0 or not tells_version(answer.stdout, program.module.version):
        return None
    return Path(found)
