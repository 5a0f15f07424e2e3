"""Harm done to a watchdog on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.lab.access import run
from llm_watchdog.api import names

if TYPE_CHECKING:
    from e2e.lab.access import Access

KILL_EACH_SECOND = """
import os, pathlib, signal, sys, time
begin = time.monotonic()
for second in range(int(sys.argv[1])):
    time.sleep(max(0.0, begin + second - time.monotonic()))
    killed = 0
    for entry in pathlib.Path('/proc').iterdir():
        if entry.name.isdigit() and int(entry.name) not in (1, os.getpid()):
            try:
                if b'llm_watchdog' in (entry / 'cmdline').read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
                    killed = 1
            except (FileNotFoundError, ProcessLookupError):
                pass
    print(killed, flush=True)
"""


def kill_each_second(access: Access, namespace: str, pod: str, seconds: int) -> list[bool]:
    """`kill -9` of the Python process under the supervisor (process 1), each second; whether there was one each time.

    One `kubectl exec` for all: its own start takes a good part of a second.
    """
    command = ("exec", pod, "-c", names.WATCHDOG_CONTAINER, "--", "python3", "-c", KILL_EACH_SECOND, str(seconds))
    return [line == "1" for line in run(access, "-n", namespace, *command).split()]
