"""Taints suspect nodes, where an administrator has switched that on and given the right to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from llmworker_operator.adapters import resources
from llmworker_operator.adapters.errors import ConflictError, GoneError, RefusedError
from llmworker_operator.domain.taint import taint_patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmworker_operator.domain.nodes import SuspectNode
    from llmworker_operator.reconcile.context import Context

logger = logging.getLogger(__name__)


async def taint_nodes(context: Context, suspects: Sequence[SuspectNode]) -> None:
    """At most as many as are allowed in the whole cluster; a refusal is logged and stops nothing."""
    if not context.settings.taint_suspect_nodes or not suspects:
        return
    async with context.taint_lock:
        for suspect in suspects:
            await _taint(context, suspect)


async def _taint(context: Context, suspect: SuspectNode) -> None:
    most = context.settings.tainted_nodes_max
    tainted = {name for name, node in context.cache.nodes.named().items() if node.tainted}
    if suspect.node in tainted:
        return
    if len(tainted) >= most:
        logger.info("node %s is not tainted: at most %d are", suspect.node, most, extra={"reason": suspect.reason})
        return
    document = await context.kube.get(resources.NODES, "", suspect.node)
    patch = taint_patch(document, suspect, context.clock()) if document else None
    if patch is None:
        return
    try:
        answer = await context.kube.merge(resources.NODES, "", suspect.node, patch)
    except (ConflictError, GoneError, RefusedError) as error:
        logger.warning("node %s is not tainted: %s", suspect.node, error.message, extra={"reason": suspect.reason})
        return
    context.cache.answered(resources.NODES, answer)
    logger.warning("node %s is tainted: %s", suspect.node, suspect.message, extra={"reason": suspect.reason})
