"""`llm-watchdog run`: beside any model server, without Kubernetes.

Standard output carries the lines of `recorder.lines` and nothing else; logs go to standard error.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from llm_watchdog.api.policy import EngineTarget, EngineType, Policy, WatchdogPolicy
from llm_watchdog.api.reasons import Mode
from llm_watchdog.cli.compose import live
from llm_watchdog.cli.front import listen
from llm_watchdog.cli.journal_dir import JournalInUseError, take
from llm_watchdog.cli.standalone import Standalone
from llm_watchdog.recorder.log import configure
from llm_watchdog.settings import FixedPolicy, PolicyFile

if TYPE_CHECKING:
    from argparse import Namespace

    from llm_watchdog.settings import PolicySource

REFUSED = 2
"""Exit code: the command line, the policy, or a model that the server does not serve."""

log = logging.getLogger("llm_watchdog")


def main(said: Namespace) -> int:
    """0 after SIGTERM, 2 where what was asked for cannot be."""
    configure(sys.stderr, plain=True)
    try:
        policies(said, _target(said, said.engine or EngineType.OPENAI))  # refused before anything else begins
        take(said.journal)
        socket = listen(said.listen)
    except ValueError as error:
        return _refuse(said, f"{said.policy}:\n{error}")
    except (OSError, JournalInUseError) as error:
        return _refuse(said, str(error))
    log.info("listening on %s:%d", *socket.getsockname()[:2])
    return live(Standalone(said, socket, lambda engine: policies(said, _target(said, engine))).run)


def policies(said: Namespace, target: EngineTarget) -> PolicySource:
    """From file and options. Raises OSError, and ValueError with a line for each error."""
    if said.policy is None:
        return FixedPolicy(Policy(engine=target, watchdog=_with_mode(WatchdogPolicy(), said, states_mode=False)))

    def read(text: str) -> Policy:
        from llm_watchdog.cli.policy_file import read_policy  # noqa: PLC0415 - YAML only where there is some

        document = read_policy(text)
        return Policy(engine=target, watchdog=_with_mode(document.watchdog, said, states_mode=document.states_mode))

    return PolicyFile(said.policy, read)


def _with_mode(watchdog: WatchdogPolicy, said: Namespace, *, states_mode: bool) -> WatchdogPolicy:
    if said.mode is not None:
        return replace(watchdog, mode=said.mode)
    if states_mode:
        return watchdog
    return replace(watchdog, mode=Mode.OBSERVE if said.restart_command is None else Mode.ENFORCE)


def _target(said: Namespace, engine: EngineType) -> EngineTarget:
    return EngineTarget(
        type=engine,
        task=said.task,
        probe_cost=said.probe_cost,
        port=said.port,
        model=said.model,
        concurrency=said.concurrency,
        path=said.path,
        text_field=said.text_field,
    )


def _refuse(said: Namespace, why: str) -> int:
    sys.stderr.write(f"llm-watchdog {said.command}: error: {why}\n")
    return REFUSED
