"""The container's first process: starts the watchdog proper again whenever it ends, so that the container never does.

Kubernetes makes a pod NotReady while a sidecar container is down, so a crash of the watchdog must not end it. The one
way out, besides SIGTERM, is exit code 88, which restarts every container of the pod: it is passed on only with a fresh
order in the journal's directory, each order once, at a bounded rate. A child that stands still is ended, for a watchdog
that hangs looks healthy as well. No imports but the barest: this process is there for as long as the pod.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from llm_watchdog import orders
from llm_watchdog.pulse import ENV_PULSE_FD

# Written out again because `api.names` brings `typing`, a megabyte; a test compares them.
JOURNAL_DIR = "/var/lib/llm-watchdog"
RESTART_EXIT_CODE = 88

ENV_JOURNAL_DIR = "LLM_WATCHDOG_JOURNAL_DIR"
THRIFT = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""For the child: what it frees goes back to the node. A TLS connection alone takes 256 KiB of buffer."""
BACKOFF_MAX_SECONDS = 5.0
BACKOFF_FIRST_SECONDS = 0.1
STEADY_SECONDS = 30.0
"""A child that lived this long starts the back-off anew."""
FIRST_BEAT_SECONDS = 120.0
"""For loading, and for a journal on a slow disk."""
SILENCE_SECONDS = 60.0
"""A pass takes milliseconds, and a beat comes every 5 s; on a starved node it may take long, but hardly this long."""
HANG_UP_SECONDS = 0.02
TICK_SECONDS = 5.0
"""Silence is counted in ticks, so that a node that slept is no silence."""


class Supervisor:
    """One child at a time."""

    def __init__(self, command: list[str], directory: str) -> None:
        self._command = command
        self._directory = directory
        self._child = 0
        self._stopping = False

    def run(self) -> int:
        """The exit code of the container."""
        signal.signal(signal.SIGTERM, self._forward)
        signal.signal(signal.SIGINT, self._forward)
        backoff = BACKOFF_FIRST_SECONDS
        while True:
            started = time.monotonic()
            status = self._run_child()
            if self._stopping:
                return 0
            if status == RESTART_EXIT_CODE and self._is_ordered():
                return RESTART_EXIT_CODE
            lived = time.monotonic() - started
            backoff = BACKOFF_FIRST_SECONDS if lived > STEADY_SECONDS else min(backoff * 2, BACKOFF_MAX_SECONDS)
            say(f"the watchdog ended with {status} after {lived:.1f} s, starting it again in {backoff:.1f} s")
            self._pause(backoff)
            if self._stopping:
                return 0

    def _is_ordered(self) -> bool:
        refusal = orders.honour(self._directory, time.time())
        if refusal:
            say(f"exit code {RESTART_EXIT_CODE} is not passed on: {refusal}")
        return not refusal

    def _run_child(self) -> int:
        pulse, beating = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        self._child = os.fork()
        if self._child == 0:
            self._become_child(beating)
        # Signals stay blocked until the child's id is known, so that none is lost between fork and here.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        os.close(beating)
        try:
            return self._watch(pulse)
        finally:
            os.close(pulse)

    def _become_child(self, beating: int) -> None:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
            os.set_inheritable(beating, True)
            environment = {**THRIFT, **os.environ, ENV_PULSE_FD: str(beating)}
            os.execve(self._command[0], self._command, environment)  # noqa: S606
        except OSError as error:
            say(f"cannot start {self._command[0]}: {error}")
        finally:
            os._exit(127)

    def _watch(self, pulse: int) -> int:
        """Until the child has ended, by itself or because it stood still; its exit code."""
        poller = select.poll()
        poller.register(pulse, select.POLLIN)
        silent, patience = 0.0, FIRST_BEAT_SECONDS
        while True:
            seen = [event for _, event in poller.poll(TICK_SECONDS * 1000)]
            ended = self._reap()
            if ended is not None:
                return ended
            if not seen:
                silent += TICK_SECONDS
            elif seen[0] & select.POLLIN and os.read(pulse, 4096):
                silent, patience = 0.0, SILENCE_SECONDS
            else:  # its end of the pipe is closed: it is about to end
                time.sleep(HANG_UP_SECONDS)
                silent += HANG_UP_SECONDS
            if silent >= patience and not self._stopping:
                say(f"the watchdog has made no pass for {silent:.0f} s: ended")
                os.kill(self._child, signal.SIGKILL)
                silent = 0.0

    def _reap(self) -> int | None:
        """As first process of the container, every orphan is ours to bury too. None: the child lives."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return None
            if pid == self._child:
                self._child = 0
                return os.waitstatus_to_exitcode(status)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(min(0.2, max(0.0, until - time.monotonic())))

    def _forward(self, number: int, _frame: object) -> None:
        """The kubelet stops the container; the child is told and waited for."""
        self._stopping = True
        if self._child:
            try:
                os.kill(self._child, number)
            except ProcessLookupError:
                return


def say(message: str) -> None:
    """One JSON line, written by hand: the json module costs half a megabyte here."""
    text = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    sys.stdout.write(f'{{"component": "supervisor", "message": "{text}"}}\n')
    sys.stdout.flush()


def main() -> int:
    """`python -m llm_watchdog.supervisor [command …]`; without a command it is the watchdog's own."""
    # Without site (-S) where this process runs without it: start-up files of other packages cost both up to 4 MiB.
    flags = ["-S"] if sys.flags.no_site else []
    command = sys.argv[1:] or [sys.executable, *flags, "-m", "llm_watchdog", "sidecar"]
    return Supervisor(command, os.environ.get(ENV_JOURNAL_DIR, JOURNAL_DIR)).run()


if __name__ == "__main__":
    sys.exit(main())
