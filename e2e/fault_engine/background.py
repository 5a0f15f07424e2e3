"""Starts and ends the process of the background users."""

import json
import subprocess
import sys
import threading

from .places import PACKAGE_NAME, PACKAGE_ROOT
from .settings import Settings
from .traffic_load import TrafficLoad


class Background:
    """Used by the control port's thread as well as by the server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._port: int | None = None
        self._load = settings.background
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()

    @property
    def load(self) -> TrafficLoad:
        return self._load

    def begin(self, port: int) -> None:
        """The server listens there."""
        self._port = port
        self.change(self._load)

    def change(self, load: TrafficLoad) -> None:
        """Those that are there leave in the middle of their answers."""
        with self._changing:
            self._load = load
            self._leave()
            if self._port is not None and (load.streams or load.burst):
                self._process = subprocess.Popen(self._command(self._port), cwd=PACKAGE_ROOT, stdin=subprocess.PIPE)

    def end(self) -> None:
        with self._changing:
            self._leave()

    def _leave(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _command(self, port: int) -> list[str]:
        settings = self._settings
        load = json.dumps(self._load.as_json())
        what = ["--port", str(port), "--dialect", settings.dialect, "--model", settings.model, "--load", load]
        return [sys.executable, "-m", f"{PACKAGE_NAME}.traffic", "--until-hang-up", *what]
