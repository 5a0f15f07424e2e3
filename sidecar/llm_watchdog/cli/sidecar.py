"""`llm-watchdog sidecar`: the watchdog of a pod, which the operator puts beside the engine."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from llm_watchdog.actions.restart import InPlaceRestart
from llm_watchdog.api import names
from llm_watchdog.api.incident import PodRef
from llm_watchdog.cli.compose import Form, live, read_key, watch
from llm_watchdog.core.situation import Identity
from llm_watchdog.pulse import inherited
from llm_watchdog.recorder.kube import Kube, TokenFromFile, in_cluster_transport, in_cluster_url
from llm_watchdog.recorder.kubernetes import KubernetesRecorder
from llm_watchdog.recorder.local import LocalRecorder
from llm_watchdog.recorder.log import configure, tell
from llm_watchdog.server import server
from llm_watchdog.settings import PodInfo, PolicyFile, StatedModes

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from llm_watchdog.cli.compose import Now
    from llm_watchdog.recorder.seam import Recorder
    from llm_watchdog.server import Application

log = logging.getLogger("llm_watchdog")


def main(said: Namespace) -> int:
    """Ends with SIGTERM, or with code 88 on a restart order."""
    configure(sys.stdout)
    try:
        identity = _identity(os.environ, required=said.recorder == "kubernetes")
        policy = PolicyFile(said.policy)
    except KeyError as error:
        log.error("%s is not set: the operator sets it in the watchdog's container", error.args[0])  # noqa: TRY400
        return 2
    except (OSError, ValueError) as error:
        log.error("no policy in %s: %s", said.policy, error)  # noqa: TRY400 - a sentence, not a trace
        return 1

    async def work() -> int:
        await watch(_form(said, identity, policy))
        return 0

    return live(work)


def _form(said: Namespace, identity: Identity, policy: PolicyFile) -> Form:
    async def serve(application: Application) -> None:
        await server(application, said.port).serve()

    return Form(
        identity=identity,
        journal_dir=said.journal_dir,
        policy=policy,
        place=PodInfo(said.pod_info_dir),
        api_key=read_key(said.api_key_file),
        recorder=partial(_recorder, said, identity, policy),
        restart=lambda _now: InPlaceRestart(said.journal_dir, said.orders_dir, _leave),
        tell=lambda _now: tell,
        serve=serve,
        beat=inherited(os.environ).beat,
    )


def _recorder(said: Namespace, identity: Identity, policy: PolicyFile, now: Now) -> Recorder:
    if said.recorder == "local":
        return LocalRecorder(
            now,
            budget=lambda: policy.policy.watchdog.remediation.budget,
            modes=StatedModes(policy),
            journal_dir=said.journal_dir,
        )
    kube = Kube(
        in_cluster_url(os.environ),
        auth=TokenFromFile(said.token_dir / "token"),
        transport=in_cluster_transport(said.token_dir / "ca.crt"),
        now=now,
    )
    return KubernetesRecorder(kube, identity, now)


def _identity(environment: Mapping[str, str], *, required: bool) -> Identity:
    fields = (names.ENV_WORKER, names.ENV_POD_NAMESPACE, names.ENV_POD_NAME, names.ENV_POD_UID)
    worker, namespace, name, uid = (environment[f] if required else environment.get(f, "local") for f in fields)
    pod = PodRef(name=name, uid=uid, node=environment.get(names.ENV_NODE_NAME, ""))
    return Identity(worker=worker, namespace=namespace, pod=pod)


def _leave(code: int) -> None:
    """At once: the order is on the disk, and nothing else may happen in between."""
    logging.shutdown()
    os._exit(code)
