"""Signals to processes inside a pod's engine container, by kubectl exec: works on any cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.lab.access import run
from e2e.lab.manifests import BROKEN, CONTROL_PORT
from llm_watchdog.api import names

if TYPE_CHECKING:
    from e2e.lab.access import Access

ORDER = f"""
import json, sys, urllib.request as u
order = json.dumps({{"name": sys.argv[1]}}).encode()
u.urlopen(u.Request("http://127.0.0.1:{CONTROL_PORT}/faults", order, method="PUT"))
"""
FIND = r"""
for dir in /proc/[0-9]*; do
  pid=${dir#/proc/}
  [ "$pid" = $$ ] && continue
  case "$(cat $dir/comm; tr '\0' ' ' < $dir/cmdline)" in *'%s'*) echo "$pid";; esac
done 2>/dev/null
"""


def find(access: Access, namespace: str, pod: str, pattern: str) -> list[int]:
    """Process ids in the engine container whose command line or title contains these words."""
    return [int(line) for line in _shell(access, namespace, pod, FIND % pattern).split()]


def signal(access: Access, namespace: str, pod: str, name: str, pids: list[int]) -> None:
    """`kill -NAME` inside the engine container."""
    _shell(access, namespace, pod, f"kill -{name} {' '.join(map(str, pids))}")


def hang(access: Access, namespace: str, pod: str) -> None:
    """Stop the process that makes the tokens; `/health` stays 200."""
    signal(access, namespace, pod, "STOP", find(access, namespace, pod, "EngineCore"))


def break_accelerator(access: Access, namespace: str, pod: str) -> None:
    """Of a breakable engine: it hangs now, and after each restart in this pod."""
    _shell(access, namespace, pod, f"touch {BROKEN}")
    hang(access, namespace, pod)


def repair_accelerator(access: Access, namespace: str, pod: str) -> None:
    """The next engine that is started in this pod is well."""
    _shell(access, namespace, pod, f"rm {BROKEN}")


def order_fault(access: Access, namespace: str, pod: str, fault: str) -> None:
    """Of the fault engine's catalogue, from now on."""
    run(access, "-n", namespace, "exec", pod, "-c", names.ENGINE_CONTAINER, "--", "python3", "-c", ORDER, fault)


def _shell(access: Access, namespace: str, pod: str, script: str) -> str:
    command = ("-n", namespace, "exec", pod, "-c", names.ENGINE_CONTAINER, "--", "sh", "-c", script)
    return run(access, *command)
