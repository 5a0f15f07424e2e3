"""What the watchdog is told from outside again and again: the policy, how a restart is done, a person's release."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final, Protocol

from llm_watchdog.api import names
from llm_watchdog.api.document import DocumentError, decode
from llm_watchdog.api.policy import Policy
from llm_watchdog.api.reasons import FaultClass, RestartMethod
from llm_watchdog.core.situation import Modes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RELEASE_FILE: Final = "release"
"""Standalone, in the journal's directory: what `llm-watchdog release` wrote."""

log = logging.getLogger(__name__)


Mark = tuple[int, int, int]


def mark_of(path: Path) -> Mark:
    """What tells a changed file: the kubelet changes a volume by turning a symbolic link. Raises OSError."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


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
        self._read: Mark | None = None
        self.problem = ""
        self.policy = self._load()

    def _load(self) -> Policy:
        self._read = mark_of(self._path)
        return self._parse(self._path.read_text(encoding="utf-8"))

    def refresh(self) -> bool:
        """True when another policy is in force now."""
        try:
            if mark_of(self._path) == self._read:
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


def modes_of(policy: Policy) -> Modes:
    """What the policy document says; the worker itself, once it is read, says it sooner."""
    detectors, paused = policy.watchdog.detectors, policy.watchdog.paused
    said = {fault.value: detectors.mode_of(fault) for fault in FaultClass}
    return Modes(
        mode=policy.watchdog.mode,
        overrides={fault: mode for fault, mode in said.items() if mode is not None},
        paused="" if paused is None else paused.reason,
        cluster_paused="" if policy.cluster_paused is None else policy.cluster_paused.reason,
    )


class StatedModes:
    """The same of the policy in force: made anew when that is another one, though asked for several times a second."""

    def __init__(self, source: PolicySource) -> None:
        self._source = source
        self._policy = source.policy
        self._modes = modes_of(source.policy)

    def __call__(self) -> Modes:
        """As the policy says now."""
        if self._policy is not self._source.policy:
            self._policy = self._source.policy
            self._modes = modes_of(self._policy)
        return self._modes


class PodInfo:
    """The pod's annotations, as the kubelet writes them into files."""

    def __init__(self, directory: Path) -> None:
        self._method = _Text(directory / names.POD_INFO_RESTART_METHOD)
        self._release = _Text(directory / names.POD_INFO_RELEASE)

    @property
    def restart_method(self) -> RestartMethod | None:
        """None until the operator has said."""
        try:
            return RestartMethod(self._method.read())
        except ValueError:
            return None

    @property
    def release(self) -> str:
        """What a person wrote to lift a quarantine."""
        return self._release.read()


class HostInfo:
    """Standalone: a command or none, and a file that `llm-watchdog release` writes."""

    def __init__(self, journal_dir: Path, *, has_command: bool) -> None:
        self._release = _Text(journal_dir / RELEASE_FILE)
        self.restart_method = RestartMethod.COMMAND if has_command else RestartMethod.UNAVAILABLE

    @property
    def release(self) -> str:
        """What a person wrote to lift a quarantine."""
        return self._release.read()


class _Text:
    """A small file that seldom changes and is looked at in each pass: read when it is another one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: Mark | None = None
        self._text = ""

    def read(self) -> str:
        """Empty where there is none."""
        try:
            mark = mark_of(self._path)
            if mark != self._mark:
                self._text = self._path.read_text(encoding="utf-8").strip()
                self._mark = mark
        except (OSError, UnicodeDecodeError):
            self._mark, self._text = None, ""
        return self._text
