"""Talks to a cluster's runner: starts it, gives it orders, asks what runs."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from e2e.cluster.ledger import RUNNER, read_ledger
from e2e.cluster.places import REPOSITORY, State
from e2e.cluster.progress import ClusterError, wait_until

# A stop waits for the program's own end, at most the runner's STOP_SECONDS.
ANSWER_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Control:
    state: State

    def alive(self) -> bool:
        return any(entry.name == RUNNER and entry.alive for entry in read_ledger(self.state.ledger))

    def spawn(self, *, follow: bool = False) -> subprocess.Popen[bytes]:
        """A session of its own: Ctrl-C in the terminal reaches the command, not the cluster.

        With `follow` the runner ends when this process does, and is its child; else nobody's.
        """
        self.state.logs.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "e2e.cluster.runner", "--state", str(self.state.root)]
        argv += ["--follow", str(os.getpid())] if follow else ["--detach"]
        with (self.state.logs / "runner.log").open("ab") as log:
            started = subprocess.Popen(
                argv,
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(
            "the runner",
            lambda: self.state.control_socket.exists() and self.alive(),
            seconds=20,
            every=0.02,
            doomed=lambda: f"see {self.log_of(RUNNER)}" if started.poll() else None,
        )
        return started

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self._ask(order="start", name=name, argv=list(argv), env=dict(env or {}))

    def start_again(self, name: str) -> None:
        """With the command line it had."""
        self._ask(order="start_again", name=name)

    def stop(self, name: str) -> bool:
        return bool(self._ask(order="stop", name=name)["was_running"])

    def running(self) -> dict[str, int]:
        return dict(self._ask(order="status")["running"])

    def known(self) -> set[str]:
        """All that was ever started, also what has ended."""
        return set(self._ask(order="status")["known"])

    def ended(self, name: str) -> str | None:
        """Why waiting for this program is in vain, with the end of its log."""
        code = self._ask(order="status")["ended"].get(name)
        if code is None:
            return None
        return f"{name} ended with {code}; the end of {self.log_of(name)}:\n{self.last_words(name)}"

    def log_of(self, name: str) -> str:
        return str(self.state.logs / f"{name}.log")

    def last_words(self, name: str, lines: int = 12) -> str:
        text = (self.state.logs / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _ask(self, **order: Any) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(ANSWER_SECONDS)
                connection.connect(str(self.state.control_socket))
                with connection.makefile("rw") as stream:
                    stream.write(json.dumps(order) + "\n")
                    stream.flush()
                    reply: dict[str, Any] = json.loads(stream.readline())
        except OSError as error:
            raise ClusterError(f"No runner answers for {self.state.root}: start the cluster first.") from error
        if "error" in reply:
            raise ClusterError(f"the runner refused {order['order']}: {reply['error']}")
        return reply
