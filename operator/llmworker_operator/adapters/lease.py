"""Leader election by a coordination.k8s.io Lease, in a thread of its own so that no long pass can starve it.

A holder is believed for as long as its lease was not seen to change, by this process's own clock: the clocks of two
nodes are never compared. Losing the lease ends the process; nothing is left that could go on writing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from llmworker_operator.adapters.errors import ConflictError, KubeError
from llmworker_operator.adapters.resources import LEASES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from llmworker_operator.adapters.kube import Kube
    from llmworker_operator.settings import Settings

logger = logging.getLogger(__name__)

LOST_EXIT_CODE: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds."""

    duration: float
    renew_deadline: float
    retry: float


def _micro_time(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Election:
    """One candidate's view of the lease. `renew` is one attempt; the loop around it is `LeaseThread`'s."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._times = times
        self._monotonic = monotonic
        self._seen: tuple[str, float] | None = None

    async def renew(self) -> bool:
        """Take or keep the lease. Raises KubeError where the API server cannot be asked."""
        lease = await self._kube.get(LEASES, self._namespace, self._name)
        try:
            if lease is None:
                await self._kube.create(LEASES, self._document({}, {}))
                return True
            if not self._free(lease):
                return False
            await self._kube.replace(LEASES, self._document(lease["metadata"], lease.get("spec") or {}))
        except ConflictError:
            return False
        return True

    async def release(self) -> None:
        """The next leader need not wait."""
        lease = await self._kube.get(LEASES, self._namespace, self._name)
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._identity:
            return
        spec = {**lease["spec"], "holderIdentity": ""}
        await self._kube.replace(LEASES, {**lease, "spec": spec})

    def _free(self, lease: dict[str, Any]) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in {"", self._identity}:
            return True
        version = lease["metadata"]["resourceVersion"]
        now = self._monotonic()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
        return now - self._seen[1] >= (spec.get("leaseDurationSeconds") or self._times.duration)

    def _document(self, metadata: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
        now = _micro_time(datetime.now(UTC))
        taken = before.get("holderIdentity") != self._identity
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {**metadata, "name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": max(1, round(self._times.duration)),
                "renewTime": now,
                "acquireTime": now if taken else before.get("acquireTime", now),
                "leaseTransitions": int(before.get("leaseTransitions", 0)) + (1 if taken and before else 0),
            },
        }


class LeaseThread:
    """Acquires, renews, and ends the process when it cannot."""

    def __init__(self, settings: Settings, connect: Callable[[], Awaitable[Kube]]) -> None:
        self._settings = settings
        self._connect = connect
        self._times = LeaseTimes(
            duration=settings.lease_duration_seconds,
            renew_deadline=settings.lease_renew_deadline_seconds,
            retry=settings.lease_retry_seconds,
        )
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._stop = threading.Event()
        self.held = threading.Event()
        self._renewed_at = time.monotonic()
        self._attempted_at = time.monotonic()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back and wait until that is done."""
        self._stop.set()
        self._thread.join(timeout=self._times.renew_deadline)

    async def acquired(self) -> None:
        """However long it takes. Polled: nothing of asyncio is shared between the two threads."""
        while not self.held.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    def age_seconds(self) -> float:
        """Since the last renewal."""
        return time.monotonic() - self._renewed_at

    def attempt_age_seconds(self) -> float:
        """Since the loop last did anything at all."""
        return time.monotonic() - self._attempted_at

    def still_leads(self) -> bool:
        """By this process's own clock; asked before each write, for a process that was asleep for a while."""
        return self.held.is_set() and self.age_seconds() < self._times.duration

    def _run(self) -> None:
        try:
            asyncio.run(self._loop())
        except Exception:
            logger.exception("the lease loop failed")
            if not self._stop.is_set():
                os._exit(LOST_EXIT_CODE)

    async def _loop(self) -> None:
        kube = await self._connect()
        election = Election(
            kube,
            namespace=self._settings.namespace,
            name=self._settings.lease_name,
            identity=self._settings.identity,
            times=self._times,
        )
        try:
            while not self._stop.is_set():
                await self._attempt(election)
                await asyncio.get_running_loop().run_in_executor(None, self._stop.wait, self._times.retry)
            if self.held.is_set():
                await election.release()
        except KubeError as error:
            logger.warning("the lease was not given back: %s", error.message)
        finally:
            await kube.close()

    async def _attempt(self, election: Election) -> None:
        began = time.monotonic()
        self._attempted_at = began
        try:
            mine = await asyncio.wait_for(election.renew(), timeout=self._times.renew_deadline)
        except (KubeError, TimeoutError) as error:
            logger.warning("the lease could not be renewed: %s", error)
            self._end_if_expired()
            return
        if mine:
            self._renewed_at = began
            if not self.held.is_set():
                logger.info("leads", extra={"identity": self._settings.identity})
                self.held.set()
        elif self.held.is_set():
            self._end("another process holds it")

    def _end_if_expired(self) -> None:
        if self.held.is_set() and self.age_seconds() >= self._times.renew_deadline:
            self._end(f"not renewed for {self.age_seconds():.1f} s")

    def _end(self, why: str) -> None:
        logger.error("the lease is lost: %s; this process ends", why)
        for handler in logging.getLogger().handlers:
            handler.flush()
        os._exit(LOST_EXIT_CODE)
