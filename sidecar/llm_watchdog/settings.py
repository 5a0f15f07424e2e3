"""What the watchdog is told from outside: environment and options once, policy and pod information again and again."""

from __future__ import annotations

import argparse
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from llm_watchdog.api import names
from llm_watchdog.api.document import DocumentError, decode
from llm_watchdog.api.incident import PodRef
from llm_watchdog.api.policy import Policy
from llm_watchdog.api.reasons import RestartMethod
from llm_watchdog.core.situation import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENV_JOURNAL_DIR: Final = "LLM_WATCHDOG_JOURNAL_DIR"
"""Also read by the supervisor, which has to find the same orders."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Fixed for the life of the process."""

    identity: Identity
    recorder: str
    """`kubernetes` or `local`."""
    port: int
    journal_dir: Path
    orders_dir: Path
    policy_file: Path
    pod_info_dir: Path
    token_dir: Path
    api_key_file: Path

    @property
    def in_cluster(self) -> bool:
        """The record goes to the API server."""
        return self.recorder == "kubernetes"


def parser() -> argparse.ArgumentParser:
    """Every place can be moved, for running beside an engine without a cluster."""
    top = argparse.ArgumentParser(prog="llm-watchdog", description="Watches the model server of its own pod.")
    commands = top.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="watch until stopped", description="Watch until stopped.")
    run.add_argument(
        "--recorder",
        choices=["kubernetes", "local"],
        default="kubernetes",
        help="where incidents are kept: in the cluster's API, or in the journal alone (default: %(default)s)",
    )
    run.add_argument("--port", type=int, default=names.WATCHDOG_PORT, help="own endpoints (default: %(default)s)")
    for option, default, what in (
        ("--journal-dir", os.environ.get(ENV_JOURNAL_DIR, names.JOURNAL_DIR), "record that survives restarts"),
        ("--orders-dir", names.ORDERS_DIR, "restart requests that the engine's probe reads"),
        ("--policy", f"{names.POLICY_DIR}/{names.POLICY_FILE}", "policy document"),
        ("--pod-info-dir", names.POD_INFO_DIR, "annotations of the pod"),
        ("--token-dir", names.TOKEN_DIR, "service account token and certificate authority"),
        ("--api-key-file", f"{names.API_KEY_DIR}/{names.API_KEY_FILE}", "key of the engine, where it wants one"),
    ):
        run.add_argument(option, type=Path, default=Path(default), help=f"{what} (default: %(default)s)")
    return top


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Ends the program with a sentence where something is missing."""
    top = parser()
    said = top.parse_args(arguments)
    try:
        identity = _identity(environment, required=said.recorder == "kubernetes")
    except KeyError as error:
        top.error(f"{error.args[0]} is not set: the operator sets it in the watchdog's container")
    return Settings(
        identity=identity,
        recorder=said.recorder,
        port=said.port,
        journal_dir=said.journal_dir,
        orders_dir=said.orders_dir,
        policy_file=said.policy,
        pod_info_dir=said.pod_info_dir,
        token_dir=said.token_dir,
        api_key_file=said.api_key_file,
    )


def _identity(environment: Mapping[str, str], *, required: bool) -> Identity:
    fields = (names.ENV_WORKER, names.ENV_POD_NAMESPACE, names.ENV_POD_NAME, names.ENV_POD_UID)
    worker, namespace, name, uid = (environment[f] if required else environment.get(f, "local") for f in fields)
    pod = PodRef(name=name, uid=uid, node=environment.get(names.ENV_NODE_NAME, ""))
    return Identity(worker=worker, namespace=namespace, pod=pod)


class PolicyFile:
    """The policy document: read again when it changes; a bad one is reported, and the last good one stays in force."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, int] | None = None
        self.problem = ""
        self.policy = self._load()

    def _load(self) -> Policy:
        self._read = self._mark()
        return decode(Policy, json.loads(self._path.read_text(encoding="utf-8")))

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


class PodInfo:
    """The pod's annotations, as the kubelet writes them into files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def restart_method(self) -> RestartMethod | None:
        """None until the operator has said."""
        try:
            return RestartMethod(self._text(names.POD_INFO_RESTART_METHOD))
        except ValueError:
            return None

    @property
    def release(self) -> str:
        """What a person wrote to lift a quarantine."""
        return self._text(names.POD_INFO_RELEASE)

    def _text(self, name: str) -> str:
        try:
            return (self._directory / name).read_text(encoding="utf-8").strip()
        except OSError:
            return ""
