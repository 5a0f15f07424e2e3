"""Writes what was decided about a worker's incidents: grants, withdrawals, the end of lost and of old ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from llm_watchdog.api import names
from llm_watchdog.api.document import encode
from llm_watchdog.api.reasons import Outcome, Phase, Rung
from llmworker_operator.adapters import resources
from llmworker_operator.adapters.errors import ConflictError, GoneError
from llmworker_operator.adapters.events import Subject
from llmworker_operator.domain.grants import GrantDecision, decide_grants
from llmworker_operator.domain.replacement import being_stopped, judge_replacement, patience
from llmworker_operator.domain.retention import Retention, expired, presumably_lost
from llmworker_operator.domain.rollout import last_change
from llmworker_operator.domain.times import write_time
from llmworker_operator.reconcile.precondition import admission_problems

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from datetime import datetime, timedelta

    from llmworker_operator.domain.record import IncidentView, StepView
    from llmworker_operator.domain.replacement import Replaced
    from llmworker_operator.domain.worker import Worker, WorkerKey
    from llmworker_operator.reconcile.context import Context

logger = logging.getLogger(__name__)


def status_patch(incident: IncidentView, key: WorkerKey, status: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the operator owns in the status; what it leaves out is taken away again."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.INCIDENT_KIND,
        "metadata": {
            "name": incident.name,
            "namespace": key.namespace,
            "resourceVersion": incident.resource_version,
        },
        "status": dict(status),
    }


def ended_by_replacement(incident: IncidentView, ended: Replaced, now: datetime) -> dict[str, Any]:
    """Entries of the incident by their path, its last step among them; the rest of the list is the watchdog's."""
    sentence = f"{Rung.REPLACE_POD}: {ended.proof}."
    if ended.outcome is Outcome.RECOVERED:
        sentence = f"Recovered by {sentence}"
    last, at = f"/status/steps/{len(incident.steps) - 1}", write_time(now)
    changes: dict[str, Any] = {
        "/metadata/resourceVersion": incident.resource_version,
        "/status/phase": Phase.CLOSED.value,
        "/status/outcome": ended.outcome.value,
        "/status/message": f"{incident.message} {sentence}".strip(),
        "/status/closedAt": at,
        f"{last}/finishedAt": at,
        f"{last}/outcome": ended.step.value,
        f"{last}/proof": ended.proof,
    }
    if ended.outcome is Outcome.RECOVERED:
        changes["/status/timeToRecoverSeconds"] = round((now - incident.detected_at).total_seconds(), 3)
    return changes


def decide_for(context: Context, worker: Worker, now: datetime) -> GrantDecision:
    """From the cache as it is now. The Deployment is unpacked only where there is something to judge by it."""
    cache, key = context.cache, worker.key
    incidents = cache.incidents.of(key)
    deployment = cache.children[resources.DEPLOYMENTS].get(key.namespace, key.name) if incidents else None
    return decide_grants(
        policy=cache.policy_of(worker),
        incidents=incidents,
        replicas=cache.replicas.of(key),
        wanted=worker.replicas,
        now=now,
        change=last_change(deployment.document) if deployment else None,
        rights=not admission_problems(cache),
        unclaimed=context.unclaimed.of(key),
    )


class IncidentWriter:
    """One pass over the incidents of one worker, whether it still exists or not."""

    def __init__(self, context: Context, key: WorkerKey, now: datetime) -> None:
        self._context = context
        self._key = key
        self._now = now
        self.conflict = False
        self.replaced_by: datetime | None = None
        """When the first pod that is waited for should have been there."""

    async def grant(self, worker: Worker) -> GrantDecision:
        """After lost ones were closed: they give their place in the budget back."""
        decision = decide_for(self._context, worker, self._now)
        memory = self._context.unclaimed
        memory.keep(self._key, (incident.name for incident in self._context.cache.incidents.of(self._key)))
        for incident in decision.withdrawn:
            if incident.outstanding:
                memory.note(self._key, incident.name, self._now)
            await self._withdraw(incident)
        for granting in decision.granted:
            await self._write(
                granting.incident, {"grant": encode(granting.grant)}, "granted", granting.grant.step.value
            )
        self._context.metrics.waiting(self._key, decision.waiting)
        return decision

    async def retain(self) -> None:
        settings = self._context.settings
        retention = Retention(age=settings.incident_age, per_worker=settings.incidents_per_worker)
        cache = self._context.cache
        kept = (*cache.replicas.of(self._key), *cache.detached(self._key))
        out = {replica.uid for replica in kept if not replica.ready}
        for incident in expired(cache.incidents.of(self._key), retention, self._now, out=out):
            uid = incident.uid
            await self._context.kube.delete(resources.INCIDENTS, self._key.namespace, incident.name, uid=uid)
            cache.forget(resources.INCIDENTS, self._key.namespace, incident.name)
            self._log("removed, too old or too many", incident, "")

    async def close_gone(self, worker: Worker | None) -> None:
        """Asks the API server before it believes that a pod is gone: the cache may lag, or the pod was detached.

        One that was evicted by its watchdog's order is waited for, as long as there is a worker to replace it.
        """
        cache = self._context.cache
        living = {replica.uid for replica in cache.replicas.of(self._key)}
        for incident in presumably_lost(cache.incidents.of(self._key), living):
            pod = await self._context.kube.get(resources.PODS, self._key.namespace, incident.pod_name)
            if pod is not None and pod["metadata"]["uid"] == incident.pod_uid:
                continue
            if worker is None or incident.replacement is None:
                await self._close_lost(incident)
            else:
                await self._close_replaced(incident, incident.replacement, worker)
        if worker is not None:
            await self._close_stuck(worker)

    async def _close_stuck(self, worker: Worker) -> None:
        """A node that cannot end a process keeps its pod for ever (vllm#25127): the budget is given back."""
        cache, limit = self._context.cache, patience(worker.watchdog.remediation)
        for incident, order in being_stopped(cache.incidents.of(self._key), cache.replicas.of(self._key)):
            if self._now - order.started_at >= limit:
                await self._close_replaced(incident, order, worker)
            else:
                self._look_again(order.started_at + limit)

    async def _close_lost(self, incident: IncidentView) -> None:
        open_for = self._now - incident.detected_at
        status: dict[str, Any] = {
            "phase": Phase.CLOSED.value,
            "outcome": Outcome.LOST.value,
            "message": f"{incident.message} The replica is gone after {_seconds(open_for)} s.".strip(),
            "closedAt": write_time(self._now),
        }
        if incident.grant:
            status["grant"] = _grant_document(incident)
        await self._write(incident, status, "closed", Outcome.LOST.value)

    async def _close_replaced(self, incident: IncidentView, order: StepView, worker: Worker) -> None:
        """The watchdog that wrote the step is gone with its pod; what came of it is entered in its place."""
        cache, policy = self._context.cache, worker.watchdog.remediation
        ended = judge_replacement(
            incident,
            policy=policy,
            incidents=cache.incidents.of(self._key),
            replicas=cache.replicas.of(self._key),
            wanted=worker.replicas,
            now=self._now,
        )
        if ended is None:
            self._look_again(order.started_at + patience(policy))
            return
        changes = ended_by_replacement(incident, ended, self._now)
        write = self._context.kube.edit(
            resources.INCIDENTS, self._key.namespace, incident.name, changes, subresource="status"
        )
        await self._finish(write, incident, "closed", ended.outcome.value)

    def _look_again(self, at: datetime) -> None:
        self.replaced_by = min(self.replaced_by or at, at)

    async def _withdraw(self, incident: IncidentView) -> None:
        """Taken away outright: leaving it out of an apply would spare what somebody has edited."""
        body = {"metadata": {"resourceVersion": incident.resource_version}, "status": {"grant": None}}
        write = self._context.kube.merge(
            resources.INCIDENTS, self._key.namespace, incident.name, body, subresource="status"
        )
        what = "spent" if incident.phase == Phase.VERIFYING else "withdrew"
        await self._finish(write, incident, what, incident.grant.step if incident.grant else "")

    async def _write(self, incident: IncidentView, status: Mapping[str, Any], what: str, detail: str) -> None:
        manifest = status_patch(incident, self._key, status)
        write = self._context.kube.apply(resources.INCIDENTS, manifest, subresource="status")
        await self._finish(write, incident, what, detail)

    async def _finish(self, write: Awaitable[dict[str, Any]], incident: IncidentView, what: str, detail: str) -> None:
        try:
            answer = await write
        except (ConflictError, GoneError) as error:
            self.conflict = True
            self._log(f"conflict, not {what}", incident, f"{detail}: {error.message}")
            return
        self._context.cache.answered(resources.INCIDENTS, answer)
        self._context.metrics.incident_written(what, detail)
        self._log(what, incident, detail)
        self._context.tell(Subject.incident(incident, self._key.namespace), what.capitalize(), f"{what} {detail}")

    def _log(self, what: str, incident: IncidentView, detail: str) -> None:
        logger.info(
            "%s %s",
            what,
            detail,
            extra={
                "namespace": self._key.namespace,
                "worker": self._key.name,
                "incident": incident.name,
                "pod": incident.pod_name,
                "fault": incident.fault,
                "reason": incident.reason,
            },
        )


def _seconds(duration: timedelta) -> int:
    return round(duration.total_seconds())


def _grant_document(incident: IncidentView) -> dict[str, str]:
    grant = incident.grant
    if grant is None:
        return {}
    return {
        "step": grant.step,
        "grantedAt": write_time(grant.granted_at),
        "expiresAt": write_time(grant.expires_at),
    }
