"""The own LLMWorker: its modes, its pause and its power, read as soon as they change."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from llm_watchdog.api import names
from llm_watchdog.api.policy import PAUSE_REASON_MAX
from llm_watchdog.api.reasons import FaultClass, Mode
from llm_watchdog.core.situation import Modes, PowerWish
from llm_watchdog.recorder.kube import Backoff, Kube, KubeError, UnreachableError

if TYPE_CHECKING:
    import asyncio

    from llm_watchdog.core.situation import Identity

log = logging.getLogger(__name__)


class WorkerWatch:
    """`modes` and `power` are for the loop to read; None until the worker was read once."""

    def __init__(self, kube: Kube, who: Identity, changed: asyncio.Event) -> None:
        self._kube = kube
        self._path = f"/apis/{names.API_VERSION}/namespaces/{who.namespace}/{names.WORKER_PLURAL}"
        self._params = {"fieldSelector": f"metadata.name={who.worker}"}
        self._changed = changed
        self.modes: Modes | None = None
        self.power: PowerWish | None = None

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff()
        while True:
            try:
                async with aclosing(self._kube.watch(self._path, self._params)) as changes:
                    async for kind, document in changes:
                        backoff.reset()
                        if kind in ("ADDED", "MODIFIED"):
                            self._seen(document)
            except (KubeError, UnreachableError) as error:
                log.info("watch of the worker: %s", error)
            await backoff.wait()

    def _seen(self, document: dict[str, Any]) -> None:
        try:
            modes, power = modes_of(document), power_of(document)
        except (ValueError, AttributeError) as error:
            log.warning("the worker's modes and power cannot be read: %s", error)
            return
        if (modes, power) != (self.modes, self.power):
            self.modes, self.power = modes, power
            self._changed.set()


def modes_of(worker: dict[str, Any]) -> Modes:
    """`spec.watchdog.mode`, what each detector says otherwise, `paused`, and whether the whole cluster is.

    Raises ValueError and AttributeError.
    """
    watchdog = worker.get("spec", {}).get("watchdog") or {}
    detectors = watchdog.get("detectors") or {}
    said = {fault: (detectors.get(f"{fault[0].lower()}{fault[1:]}") or {}).get("mode") for fault in FaultClass}
    overrides = {fault.value: Mode(mode) for fault, mode in said.items() if mode}
    paused = watchdog.get("paused")
    # The schema wants a reason; a pause without one is a pause all the same.
    reason = "" if paused is None else str(paused.get("reason") or "no reason given")[:PAUSE_REASON_MAX]
    return Modes(
        mode=Mode(watchdog.get("mode") or Mode.ENFORCE),
        overrides=overrides,
        paused=reason,
        cluster_paused=_cluster_pause(worker.get("status") or {}),
    )


def _cluster_pause(status: dict[str, Any]) -> str:
    """What the operator passes on. Raises AttributeError."""
    wanted = (names.CONDITION_PAUSED, names.REASON_WHOLE_CLUSTER, "True")
    for condition in status.get("conditions") or ():
        if (condition.get("type"), condition.get("reason"), condition.get("status")) == wanted:
            return str(condition.get("message") or "no reason given")[:PAUSE_REASON_MAX]
    return ""


def power_of(worker: dict[str, Any]) -> PowerWish:
    """`spec.power`. Raises ValueError."""
    power = worker.get("spec", {}).get("power") or {}
    state = power.get("state")
    return PowerWish(asleep=state == "Asleep", level=int(power.get("level") or 1), ours=state is not None)
