"""Programs as processes of their own, forked from a server that has loaded their modules.

A life costs a tenth of a start, and the tests that kill take many.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.process import BaseProcess
    from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
# The children look at the main module, which is pytest's.
_loaded = ["pytest"]


def load_beforehand(*modules: str) -> None:
    """Asked for while modules are imported, before anything is forked."""
    _loaded.extend(modules)
    _CONTEXT.set_forkserver_preload(_loaded)


def fork(
    log: Path, main: Callable[..., object], *args: Any, environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Started; both its streams go to the file. `environment`, where there is one, replaces this process's own."""
    process = _CONTEXT.Process(target=_live, args=(log, environment, main, args), daemon=True)
    process.start()
    return process


def _live(log: Path, environment: Mapping[str, str] | None, main: Callable[..., object], args: tuple[Any, ...]) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(descriptor, stream)
    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)
    main(*args)
