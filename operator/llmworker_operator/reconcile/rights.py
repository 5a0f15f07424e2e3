"""Takes the watchdogs' rights back where the policies that confine them are not in force (invariant 11)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from llm_watchdog.api import names
from llmworker_operator.adapters import resources
from llmworker_operator.domain.child import read_child
from llmworker_operator.reconcile.plan import rights_to_withdraw
from llmworker_operator.reconcile.precondition import admission_problems

if TYPE_CHECKING:
    from llmworker_operator.domain.worker import WorkerKey
    from llmworker_operator.reconcile.context import Context

logger = logging.getLogger(__name__)


async def withdraw_undeserved(context: Context, key: WorkerKey) -> None:
    """For the namespace of this worker, whether or not its spec can be read."""
    problems = admission_problems(context.cache)
    if not problems:
        return
    name = names.WATCHDOG_SERVICE_ACCOUNT
    live = context.cache.children[resources.ROLE_BINDINGS].get(key.namespace, name)
    if live is None:
        document = await context.kube.get(resources.ROLE_BINDINGS, key.namespace, name)
        live = read_child(document) if document else None
    binding = rights_to_withdraw(problems, live)
    if binding is None:
        return
    await context.kube.delete(resources.ROLE_BINDINGS, key.namespace, binding.name, uid=binding.uid)
    context.cache.forget(resources.ROLE_BINDINGS, key.namespace, binding.name)
    logger.info("withdrew the watchdogs' rights", extra={"namespace": key.namespace, "reason": "; ".join(problems)})
