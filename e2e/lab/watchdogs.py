"""Harm done to a watchdog on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_watchdog.api import names

if TYPE_CHECKING:
    from e2e.lab.access import Access

KILL_CHILD = """
import os, pathlib, signal
killed = 0
for entry in pathlib.Path('/proc').iterdir():
    if entry.name.isdigit() and int(entry.name) not in (1, os.getpid()):
        if b'llm_watchdog' in (entry / 'cmdline').read_bytes():
            os.kill(int(entry.name), signal.SIGKILL)
            killed += 1
print(killed)
"""


def kill_child(access: Access, namespace: str, pod: str) -> int:
    """`kill -9` of the Python process under the supervisor (process 1); how many were killed.

    0 in the moment in which the container itself is being restarted.
    """
    command = ("exec", pod, "-c", names.WATCHDOG_CONTAINER, "--", "python3", "-c", KILL_CHILD)
    done = access.kubectl("-n", namespace, *command)
    return int(done.stdout) if done.returncode == 0 else 0
