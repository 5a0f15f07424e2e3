"""What the watchdog is told from outside again and again: the policy, how a restart is done, a person's release."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final, Protocol

from llm_watchdog.api import names
from llm_watchdog.api.document import DocumentError, decode
from llm_watchdog.api.policy import Policy
from llm_watchdog.api.reasons import RestartMethod

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RELEASE_FILE: Final = "release"
"""Standalone, in the journal's directory: what `llm-watchdog release` wrote."""

log = logging.getLogger(__name__)


class PolicySource(Protocol):
    """The policy in force."""

    policy: Policy
    problem: str
    """Why the newest document was not taken over; empty when it was."""

    def refresh(self) -> bool:
        """True when another policy is in force now."""


class Surroundings(Protocol):
    """What is said about the place where the engine runs."""

    @property
    def restart_method(self) -> RestartMethod | None:
        """None until somebody has said."""

    @property
    def release(self) -> str:
        """What a person wrote to lift a quarantine."""


def read_json_policy(text: str) -> Policy:
    """The operator's document: validated by the API server, and read leniently, as it may be newer. ValueError."""
    return decode(Policy, json.loads(text))


class PolicyFile:
    """The policy document: read again when it changes; a bad one is reported, and the last good one stays in force."""

    def __init__(self, path: Path, read: Callable[[str], Policy] = read_json_policy) -> None:
        self._path = path
        self._parse = read
        self._read: tuple[int, int] | None = None
        self.problem = ""
        self.policy = self._load()

    def _load(self) -> Policy:
        self._read = self._mark()
        return self._parse(self._path.read_text(encoding="utf-8"))

    def _mark(self) -> tuple[int, int]:
        # The kubelet changes a ConfigMap volume by turning a symbolic link.
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns

    def refresh(self) -> bool:
        """True when another policy is in force now."""
        try:
            if self._mark() == self._read:
                return False
            policy = self._load()
        except (OSError, ValueError, DocumentError) as error:
            if str(error) != self.problem:
                log.warning("policy not taken over, the last one stays in force: %s", error)
            self.problem = str(error)
            return False
        changed, self.policy, self.problem = policy != self.policy, policy, ""
        return changed


class FixedPolicy:
    """Where there is no document: defaults and options."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.problem = ""

    def refresh(self) -> bool:
        """Never another."""
        return False


class PodInfo:
    """The pod's annotations, as the kubelet writes them into files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def restart_method(self) -> RestartMethod | None:
        """None until the operator has said."""
        try:
            return RestartMethod(_text(self._directory / names.POD_INFO_RESTART_METHOD))
        except ValueError:
            return None

    @property
    def release(self) -> str:
        """What a person wrote to lift a quarantine."""
        return _text(self._directory / names.POD_INFO_RELEASE)


class HostInfo:
    """Standalone: a command or none, and a file that `llm-watchdog release` writes."""

    def __init__(self, journal_dir: Path, *, has_command: bool) -> None:
        self._release = journal_dir / RELEASE_FILE
        self.restart_method = RestartMethod.COMMAND if has_command else RestartMethod.UNAVAILABLE

    @property
    def release(self) -> str:
        """What a person wrote to lift a quarantine."""
        return _text(self._release)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
