"""What the demo tells people to type is typed here."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

from e2e.cluster.access import ApiAccess
from e2e.lab.hints import STOP_CORE, next_steps

if TYPE_CHECKING:
    from pathlib import Path

RECORD = """#!/usr/bin/env python3
import json, os, sys
seen = {name: os.environ[name] for name in ("KUBECONFIG", "KUBECACHEDIR")}
print(json.dumps([seen, sys.argv[1:]]))
"""


def test_each_line_reaches_the_clusters_own_kubectl_as_it_stands(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    program = folder / "kubectl"
    program.write_text(RECORD)
    program.chmod(0o755)
    access = ApiAccess(
        kubeconfig=folder / "kubeconfig", url="", kubectl_program=program, kubectl_cache=folder / "cache"
    )
    lines = next_steps(access, "models", "demo", "demo-5d4-abcde")
    script = "\n".join(line for line in lines if not line.startswith("make "))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KUBE")}
    done = subprocess.run(["bash", "-eu", "-c", script], env=clean, capture_output=True, text=True, check=True)
    calls = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(
        seen == {"KUBECONFIG": str(access.kubeconfig), "KUBECACHEDIR": str(access.kubectl_cache)} for seen, _ in calls
    )
    typed = [arguments for _, arguments in calls]
    assert [arguments[2] for arguments in typed] == ["get", "exec", "get", "scale", "patch"]
    assert typed[1] == ["-n", "models", "exec", "demo-5d4-abcde", "-c", "engine", "--", "sh", "-c", STOP_CORE]
    assert json.loads(typed[-1][-1]) == {"spec": {"watchdog": {"mode": "Observe"}}}


def test_what_is_stopped_is_the_core_and_not_the_shell_that_looks_for_it(tmp_path: Path) -> None:
    """On a /proc of our own: nothing but its path differs, and `kill` only prints."""
    for pid, line in {"1": "sh\0-c\0vllm serve", "7": "VLLM::EngineCore", "9": f"sh\0-c\0{STOP_CORE}"}.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_text(line)
        (tmp_path / pid / "comm").write_text(line[:15])
    script = 'kill() { echo "$@"; }\n' + STOP_CORE.replace("/proc/", f"{tmp_path}/")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "-STOP 7\n"
