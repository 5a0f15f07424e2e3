"""The one process that all others of a cluster hang on: it starts, stops and reaps them, and takes them along.

It knows programs by name and command line and nothing of Kubernetes. Orders come one JSON line per connection.
"""

import argparse
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2e.cluster.ledger import RUNNER, Entry, entry_of, write_ledger
from e2e.cluster.places import State

PR_SET_PDEATHSIG = 1
# After that, SIGKILL: a program that does not end must not hold up the teardown.
STOP_SECONDS = 20.0

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Also when this process is killed: the kernel sends the signal. (It watches the thread that forked.)"""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Runner:
    def __init__(self, state: State) -> None:
        self._state = state
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._entries: dict[str, Entry] = {RUNNER: entry_of(RUNNER, os.getpid())}
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._ended: dict[str, int] = {}
        self._leaving = False

    def serve(self) -> None:
        self._write_ledger()
        self._state.control_socket.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
            listener.bind(str(self._state.control_socket))
            self._state.control_socket.chmod(0o600)
            listener.listen()
            selector.register(listener, selectors.EVENT_READ)
            while not self._leaving:
                if selector.select(timeout=0.5):
                    self._answer(listener.accept()[0])
                self._reap()
        for name in reversed(list(self._children)):
            self._stop(name)
        self._state.control_socket.unlink(missing_ok=True)
        self._state.ledger.unlink(missing_ok=True)

    def leave(self) -> None:
        self._leaving = True

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rw") as stream:
            try:
                order: dict[str, Any] = json.loads(stream.readline())
                reply = self._orders()[order.pop("order")](**order)
            except Exception as error:  # noqa: BLE001  the outermost frame of one order: the asker gets the cause
                reply = {"error": f"{type(error).__name__}: {error}"}
            try:
                stream.write(json.dumps(reply) + "\n")
                stream.flush()
            except OSError:
                return

    def _orders(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {
            "start": self._start,
            "start_again": self._start_again,
            "stop": self._stop,
            "status": self._status,
        }

    def _start(self, name: str, argv: list[str], env: dict[str, str]) -> dict[str, Any]:
        self._reap()
        if name in self._children:
            raise ValueError(f"{name} runs already")
        with (self._state.logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                argv,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,  # noqa: PLW1509  this process has one thread
            )
        self._children[name] = child
        self._commands[name] = (argv, env)
        self._entries[name] = entry_of(name, child.pid)
        self._ended.pop(name, None)
        self._write_ledger()
        return {"pid": child.pid}

    def _start_again(self, name: str) -> dict[str, Any]:
        argv, env = self._commands[name]
        return self._start(name, argv, env)

    def _stop(self, name: str) -> dict[str, Any]:
        child = self._children.pop(name, None)
        if child is None:
            return {"was_running": False}
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self._forget(name)
        return {"was_running": True, "code": child.returncode}

    def _status(self) -> dict[str, Any]:
        self._reap()
        running = {name: child.pid for name, child in self._children.items()}
        return {"running": running, "ended": self._ended, "known": list(self._commands)}

    def _reap(self) -> None:
        """A program that ended by itself stays ended: a cluster that heals by itself would hide a broken start."""
        for name, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[name]
                self._ended[name] = child.returncode
                self._forget(name)

    def _forget(self, name: str) -> None:
        self._entries.pop(name, None)
        self._write_ledger()

    def _write_ledger(self) -> None:
        write_ledger(self._state.ledger, self._entries.values())


def main() -> None:
    parser = argparse.ArgumentParser(description="Supervises the programs of one cluster.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--follow", type=int, help="end with this process")
    parser.add_argument("--detach", action="store_true", help="go on as nobody's child")
    arguments = parser.parse_args()
    if arguments.detach and os.fork() != 0:
        return
    runner = Runner(State(arguments.state))
    signal.signal(signal.SIGTERM, lambda _number, _frame: runner.leave())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if arguments.follow is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != arguments.follow:
            return
    runner.serve()


if __name__ == "__main__":
    main()
