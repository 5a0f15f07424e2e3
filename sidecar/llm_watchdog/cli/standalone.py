"""A model server on a host: found out what it is, then watched by the same parts as in a pod."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import zlib
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.actions.command import CommandRestart
from llm_watchdog.api.incident import PodRef
from llm_watchdog.cli.compose import Form, read_key, watch
from llm_watchdog.cli.discovery import discover
from llm_watchdog.cli.front import Front
from llm_watchdog.cli.journal_dir import remember_engine, remembered_engine
from llm_watchdog.core.observations import SocketsObservation
from llm_watchdog.core.situation import Identity
from llm_watchdog.probes import sockets
from llm_watchdog.probes.engine_client import EngineClient, is_loopback
from llm_watchdog.recorder.lines import LineWriter
from llm_watchdog.recorder.local import LocalRecorder
from llm_watchdog.recorder.log import tell
from llm_watchdog.server import server
from llm_watchdog.settings import HostInfo, StatedModes

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from llm_watchdog.api.policy import EngineType
    from llm_watchdog.cli.compose import Now, Tell
    from llm_watchdog.cli.discovery import Found
    from llm_watchdog.core.replica import Replica
    from llm_watchdog.server import Application
    from llm_watchdog.settings import PolicySource

AGAIN_SECONDS: Final = 2.0
"""Between two attempts to find out what the server is."""
ELSEWHERE: Final = "not a loopback address: connections cannot be read from here, so the server counts as busy"

log = logging.getLogger("llm_watchdog")


class Standalone:
    """One server, one journal, one process."""

    def __init__(
        self, said: Namespace, listener: socket.socket, policies: Callable[[EngineType], PolicySource]
    ) -> None:
        self._said = said
        self._listener = listener
        self._policies = policies
        self._front = Front()
        self._address = f"{said.host}:{said.port}"
        self._model_problem = ""
        self._recorder: LocalRecorder | None = None

    async def run(self) -> int:
        """Until cancelled; 2 if the server does not serve the model that was named."""
        client = EngineClient(self._said.port, read_key(self._said.api_key_file), host=self._said.host)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server(self._front).serve(sockets=[self._listener]))
            found = await discover(client, self._said.engine)
            if problem := found.lacks(self._said.model):
                sys.stderr.write(f"llm-watchdog run: error: {problem}\n")
                serving.cancel()
                return 2
            engine = self._said.engine or self._known(found) or await self._recognised(client)
            remember_engine(self._said.journal, self._address, engine)
            if not found.models:
                group.create_task(self._check_model(client))
            await watch(self._form(self._policies(engine)))
        return 0

    def _known(self, found: Found) -> EngineType | None:
        """A server that hangs, or half of it, is what it was when it was seen last."""
        remembered = remembered_engine(self._said.journal, self._address)
        return remembered or found.engine if found.partial else found.engine or remembered

    async def _recognised(self, client: EngineClient) -> EngineType:
        """As soon as it can be told."""
        while True:
            found = await discover(client, None)
            if found.engine is not None:
                log.info("the server at %s speaks %s", self._address, found.engine)
                return found.engine
            if found.why != self._front.why:
                log.info("the server at %s is not recognised yet: %s", self._address, found.why)
            self._front.why = found.why
            await asyncio.sleep(AGAIN_SECONDS)

    async def _check_model(self, client: EngineClient) -> None:
        """A server that was not up yet: what it lists is looked at when it does."""
        while self._said.model is not None:
            found = await discover(client, self._said.engine)
            if found.models:
                self._model_problem = found.lacks(self._said.model)
                if self._model_problem:
                    log.error("%s", self._model_problem)
                return
            await asyncio.sleep(AGAIN_SECONDS)

    def _form(self, policy: PolicySource) -> Form:
        said = self._said

        def recorder(now: Now) -> LocalRecorder:
            self._recorder = LocalRecorder(
                now,
                budget=lambda: policy.policy.watchdog.remediation.budget,
                modes=StatedModes(policy),
                journal_dir=said.journal,
            )
            return self._recorder

        return Form(
            identity=identity(said.host, said.port, str(said.journal.resolve())),
            journal_dir=said.journal,
            policy=policy,
            place=HostInfo(said.journal, has_command=said.restart_command is not None),
            api_key=read_key(said.api_key_file),
            recorder=recorder,
            restart=lambda now: CommandRestart(said.restart_command, said.restart_timeout, said.journal, now),
            tell=_tell,
            serve=self._serve,
            facts=lambda: self._facts(policy),
            host=said.host,
            look_at_sockets=sockets.look if is_loopback(said.host) else _unreadable,
        )

    async def _serve(self, application: Application) -> None:
        """By the server that is there already."""
        self._front.application = application

    def _facts(self, policy: PolicySource) -> dict[str, Any]:
        target = policy.policy.engine
        return {
            "target": {"address": self._address, "engine": target.type.value, "model": target.model},
            "mode": policy.policy.watchdog.mode.value,
            "modelProblem": self._model_problem,
            "restartWaits": "" if self._recorder is None else self._recorder.held_back,
            "sockets": "" if is_loopback(self._said.host) else ELSEWHERE,
        }


def identity(host: str, port: int, journal: str) -> Identity:
    """Names of incidents begin with it. The journal tells two watchdogs of one server apart."""
    node = socket.gethostname()
    uid = f"{zlib.crc32(f'{node} {host} {port} {journal}'.encode()):08x}"
    return Identity(worker=f"{host}-{port}", namespace="local", pod=PodRef(name=node, uid=uid, node=node))


def _tell(now: Now) -> Tell:
    writer = LineWriter(sys.stdout, now)

    def both(before: Replica, after: Replica) -> None:
        writer.tell(before, after)
        tell(before, after)

    return both


def _unreadable(_port: int, at: float) -> SocketsObservation:
    return SocketsObservation(at=at, readable=False, detail=ELSEWHERE)
