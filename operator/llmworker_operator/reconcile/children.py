"""Brings the children of a worker to what is wanted; says what stands in the way."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmworker_operator.adapters import resources
from llmworker_operator.adapters.errors import ConflictError, GoneError, KubeError, RefusedError
from llmworker_operator.builders.controllerrevision import controller_revision, revision_name, surplus
from llmworker_operator.builders.deployment import deployment
from llmworker_operator.builders.pod_template import Rendering, pod_template, spec_hash
from llmworker_operator.domain.child import Child, Ownership, read_child
from llmworker_operator.domain.facts import Stall, StallReason
from llmworker_operator.domain.restart_method import every_node_restarts_all_containers
from llmworker_operator.domain.rollback import annotations_of
from llmworker_operator.reconcile.plan import judge, stored_template, wanted_children
from llmworker_operator.reconcile.revisions import choose_revision, revision_of
from llmworker_operator.reconcile.rights import withdraw_undeserved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmworker_operator.domain.rollback import Marks
    from llmworker_operator.domain.snapshot import Snapshot
    from llmworker_operator.reconcile.context import Context

logger = logging.getLogger(__name__)

RULES_FIELD = "restartPolicyRules"


def keeps_restart_rules(deployment: Mapping[str, Any]) -> bool:
    """An API server that does not know the field, or has it switched off, may drop it without a word."""
    spec = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
    return any(container.get(RULES_FIELD) for container in spec.get("initContainers") or ())


@dataclass(slots=True)
class Outcome:
    """What became of the children in this pass."""

    stalls: list[Stall] = field(default_factory=list)
    wait: bool = False


class ChildWriter:
    """One pass over one worker's children."""

    def __init__(self, context: Context, snapshot: Snapshot) -> None:
        self._context = context
        self._snapshot = snapshot
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        await withdraw_undeserved(self._context, self._snapshot.worker.key)
        for manifest in wanted_children(self._snapshot):
            await self._settle(manifest)
        marks = choose_revision(self._context, self._snapshot)
        try:
            template = self._stored(marks) or await self._new_template()
        except RefusedError as error:
            self._refused("Deployment", self._snapshot.worker.key.name, error)
            return self.outcome
        if template is not None:
            await self._settle(deployment(self._snapshot.worker, template, annotations_of(marks)))
            await self._prune_revisions(marks)
        return self.outcome

    def _stored(self, marks: Marks) -> Mapping[str, Any] | None:
        return stored_template(self._snapshot, marks.current.template) if marks.current else None

    async def _settle(self, manifest: Mapping[str, Any]) -> None:
        verdict = judge(self._snapshot, manifest)
        if verdict.stall:
            self.outcome.stalls.append(verdict.stall)
        self.outcome.wait |= verdict.wait
        live = self._snapshot.children.get((manifest["kind"], manifest["metadata"]["name"]))
        if verdict.apply and not self._context.settled.knows(manifest, live):
            await self._apply(manifest, live)

    async def _apply(self, manifest: Mapping[str, Any], live: Child | None) -> None:
        resource = resources.resource_of(manifest)
        try:
            # What was not there a moment ago may be somebody else's by now: seen again in the next pass, never forced.
            answer = await self._context.kube.apply(resource, manifest, force=live is not None)
        except ConflictError:
            self.outcome.wait = True
            return
        except RefusedError as error:
            self._refused(manifest["kind"], manifest["metadata"]["name"], error)
            return
        self._context.cache.answered(resource, answer)
        self._context.settled.learn(manifest, read_child(answer))
        if live is not None and live.resource_version == answer["metadata"]["resourceVersion"]:
            return
        self._log("applied", manifest["kind"], manifest["metadata"]["name"])

    async def _new_template(self) -> Mapping[str, Any] | None:
        """Rendered, found acceptable by a dry run, and stored before it is used."""
        worker = self._snapshot.worker
        live = self._snapshot.children.get(("Deployment", worker.key.name))
        if live is not None and live.ownership(worker.uid) is not Ownership.OURS:
            await self._settle(deployment(worker, {}))
            return None
        template = await self._acceptable_template()
        earlier = [c.document for (kind, _), c in self._snapshot.children.items() if kind == "ControllerRevision"]
        await self._settle(controller_revision(worker, spec_hash(worker), template, earlier))
        return None if self.outcome.wait else template

    async def _acceptable_template(self) -> Mapping[str, Any]:
        """With the restart rules where the API server keeps them."""
        template = self._render(restart_rules=True)
        try:
            answer = await self._dry_run(template)
        except KubeError as error:
            if RULES_FIELD not in error.message:
                raise
            answer = {}
        if keeps_restart_rules(answer):
            return template
        template = self._render(restart_rules=False)
        await self._dry_run(template)
        return template

    async def _dry_run(self, template: Mapping[str, Any]) -> dict[str, Any]:
        manifest = deployment(self._snapshot.worker, template)
        return await self._context.kube.apply(resources.DEPLOYMENTS, manifest, dry_run=True)

    def _render(self, *, restart_rules: bool) -> dict[str, Any]:
        settings = self._context.settings
        everywhere = every_node_restarts_all_containers(self._snapshot.kubelets.values())
        rendering = Rendering(
            watchdog_image=settings.watchdog_image,
            pull_policy=settings.watchdog_pull_policy,
            restart_rules=restart_rules,
            restart_probe=not (restart_rules and everywhere),
        )
        return pod_template(self._snapshot.worker, rendering)

    async def _prune_revisions(self, marks: Marks) -> None:
        worker, children = self._snapshot.worker, self._snapshot.children
        mine = [
            child.document
            for (kind, _), child in children.items()
            if kind == "ControllerRevision" and child.ownership(worker.uid) is Ownership.OURS
        ]
        used = {each.template for each in (marks.current, marks.good, revision_of(worker)) if each is not None}
        in_use = {revision_name(worker.key.name, template) for template in used}
        for old in surplus(mine, in_use):
            metadata = old["metadata"]
            await self._context.kube.delete(
                resources.REVISIONS, worker.key.namespace, metadata["name"], uid=metadata["uid"]
            )
            self._context.cache.forget(resources.REVISIONS, worker.key.namespace, metadata["name"])

    def _refused(self, kind: str, name: str, error: RefusedError | GoneError) -> None:
        self.outcome.stalls.append(Stall(reason=StallReason.REFUSED, message=error.message))
        logger.warning(
            "%s %s is refused: %s",
            kind,
            name,
            error.message,
            extra={"worker": str(self._snapshot.worker.key.name), "namespace": self._snapshot.worker.key.namespace},
        )

    def _log(self, what: str, kind: str, name: str) -> None:
        key = self._snapshot.worker.key
        logger.info("%s %s %s", what, kind, name, extra={"worker": key.name, "namespace": key.namespace})
