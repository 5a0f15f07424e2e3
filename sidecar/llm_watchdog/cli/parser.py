"""The command line of every command. Imports nothing that takes time."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final, NamedTuple

from llm_watchdog.api import names
from llm_watchdog.api.policy import EngineTask, EngineType, ProbeCost
from llm_watchdog.api.reasons import Mode
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.supervisor import ENV_JOURNAL_DIR

LISTEN: Final = f"127.0.0.1:{names.WATCHDOG_PORT}"
ENGINE_URL: Final = "http://127.0.0.1:8000"
RESTART_TIMEOUT: Final = Seconds(60)


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def parser() -> argparse.ArgumentParser:
    """All commands; `command` names the one that was given."""
    top = argparse.ArgumentParser(
        prog="llm-watchdog", description="Finds out whether a model server really generates, and deals with it if not."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _run(_command(commands, "run", "watch a model server on this machine until stopped, without Kubernetes"))
    _check(_command(commands, "check", "look at a model server once, with every probe, and print what was found"))
    _command(commands, "engines", "list the dialects and what each can see and do")
    _command(commands, "faults", "list the fault classes and their reasons")
    _release(_command(commands, "release", "lift the quarantine of a model server that `run` watches"))
    _sidecar(_command(commands, "sidecar", "watch the model server of the own pod; started by the operator"))
    return top


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str
) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")


def _run(run: argparse.ArgumentParser) -> None:
    run.add_argument("--host", type=host_name, default="127.0.0.1", help="of the server (default: %(default)s)")
    run.add_argument("--port", type=_port, default=8000, help="of the server (default: %(default)s)")
    run.add_argument("--model", help="to ask for (default: the one that the server lists)")
    run.add_argument("--journal", type=Path, required=True, metavar="DIR", help="record that survives restarts")
    run.add_argument("--policy", type=Path, metavar="FILE", help="YAML with the schema of spec.watchdog")
    run.add_argument(
        "--mode",
        type=Mode,
        choices=list(Mode),
        metavar="|".join(Mode),
        help="default: what the policy says, else Enforce with a restart command and Observe without",
    )
    run.add_argument("--restart-command", metavar="CMD", help="for `sh -c`; exit code 0: the restart was accepted")
    run.add_argument(
        "--restart-timeout",
        type=_duration,
        default=RESTART_TIMEOUT,
        metavar="DURATION",
        help="how long the command may take (default: %(default)s)",
    )
    run.add_argument("--listen", type=_address, default=LISTEN, metavar="HOST:PORT", help="default: %(default)s")
    _engine(run)
    run.add_argument("--task", type=EngineTask, choices=list(EngineTask), default=EngineTask.GENERATE)
    run.add_argument("--probe-cost", type=ProbeCost, choices=list(ProbeCost), default=ProbeCost.FREE)


def _engine(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--engine",
        type=_engine_type,
        metavar="TYPE",
        help=f"dialect: {', '.join(EngineType)} (default: recognised by the server's answers)",
    )
    command.add_argument(
        "--concurrency", type=_slots, metavar="SLOTS", help="that the server should have, where it does not tell"
    )
    command.add_argument("--api-key-file", type=Path, metavar="FILE", help="where the server wants a key")
    command.add_argument("--path", help="route that generates, for lazyllm")
    command.add_argument("--text-field", help="field of that route's request that takes the prompt, for lazyllm")


def _check(check: argparse.ArgumentParser) -> None:
    check.add_argument("url", nargs="?", default=ENGINE_URL, metavar="URL", help="default: %(default)s")
    check.add_argument("--model", help="to ask for (default: the one that the server lists)")
    check.add_argument(
        "--drop-streams",
        action="store_true",
        help="also the checks that abandon streams, and want their slots back: only while nobody uses the server",
    )
    _engine(check)


def _release(release: argparse.ArgumentParser) -> None:
    release.add_argument("--journal", type=Path, required=True, metavar="DIR", help="that `run` was given")
    release.add_argument("--reason", default="by hand", help="ends up in the incident (default: %(default)s)")


def _sidecar(sidecar: argparse.ArgumentParser) -> None:
    """Every place can be moved, for running without a cluster in tests."""
    sidecar.add_argument(
        "--recorder",
        choices=["kubernetes", "local"],
        default="kubernetes",
        help="where incidents are kept: in the cluster's API, or in the journal alone (default: %(default)s)",
    )
    sidecar.add_argument("--port", type=int, default=names.WATCHDOG_PORT, help="own endpoints (default: %(default)s)")
    for option, default, what in (
        ("--journal-dir", os.environ.get(ENV_JOURNAL_DIR, names.JOURNAL_DIR), "record that survives restarts"),
        ("--orders-dir", names.ORDERS_DIR, "restart requests that the engine's probe reads"),
        ("--policy", f"{names.POLICY_DIR}/{names.POLICY_FILE}", "policy document"),
        ("--pod-info-dir", names.POD_INFO_DIR, "annotations of the pod"),
        ("--token-dir", names.TOKEN_DIR, "service account token and certificate authority"),
        ("--api-key-file", f"{names.API_KEY_DIR}/{names.API_KEY_FILE}", "key of the engine, where it wants one"),
    ):
        sidecar.add_argument(option, type=Path, default=Path(default), help=f"{what} (default: %(default)s)")


def host_name(text: str) -> str:
    """`localhost` may mean ::1 first, where our connections could not be told from users'."""
    return "127.0.0.1" if text == "localhost" else text.strip("[]")


def _engine_type(text: str) -> EngineType:
    if text not in list(EngineType):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(EngineType)}")
    return EngineType(text)


def _slots(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of slots: 1 or more")
    return int(text)


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port <= 65535:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{port} is no port")
    return port


def _duration(text: str) -> Seconds:
    try:
        seconds = Seconds.parse(f"{text}s" if text.isdigit() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not seconds:
        raise argparse.ArgumentTypeError("must be longer than 0s")
    return seconds


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return Address(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - asked for by leaving it out
